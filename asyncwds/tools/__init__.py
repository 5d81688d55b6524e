"""What the command line does to shards, as functions: one file for each command, of the command's name.

    from asyncwds.tools import Inputs, Outputs, Selection, cat_shards

    report = cat_shards(Inputs(urls=["train-{000..099}.tar"]), Outputs(target="small.tar"), Selection(where="json.width >= 512"))
    print(*report.lines(), sep="\n")

What a command is made of, each in a file of its own:

    inputs        `Inputs`, `read_raw`: which shards, and their samples in order as they stand in the archives
                  (`asyncwds.tar.raw.RawSample`: key, members, each with `read()`). Local shards are read by their headers alone
    selection     `Selection`: which samples and fields; `expressions` is the language of its conditions:
                  `parse(text).value(sample)`
    copying       `select`: both in one, with the errors' policy; `write_all`: samples into shards, none lost
    outputs       `Outputs`, `ShardOutputs`: where to and how large; whole shards or none, `post`, `resume`, `dry_run`
    targets       `Target`: names of shards. archives, journal, post: what outputs are made of
    report        `Report`: samples in = samples out + dropped by reason, or LostSamplesError; exit statuses of commands

New members are made by `asyncwds.tar.raw.new_member` and renamed by `RawMember.renamed`; new keys are given by
`asyncwds.tools.selection.with_key`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
