"""The rules by which shards are verified, in one table, and what is found by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]


class Rule(NamedTuple):
    """One rule. An error costs samples, or mixes them up, for the reader of this library; a warning costs them elsewhere, or is
    hardly what was wanted; a note is good to know, and no problem.

    name     what it is called in messages, for whom numbers say nothing
    meaning  what is wrong with what it finds
    remedy   what to do about it
    """

    name: str
    severity: Severity
    meaning: str
    remedy: str


RULES: dict[str, Rule] = {
    "W01": Rule(
        "truncated",
        "error",
        "The archive ends in a member or in a header.",
        "Copy the shard anew; --fix keeps the samples that are whole.",
    ),
    "W02": Rule(
        "no end mark",
        "error",
        "The archive ends behind a member, without two blocks of zeros.",
        "Copy or write it anew; --fix writes the mark.",
    ),
    "W03": Rule(
        "corrupt",
        "error",
        "A header fails its checksum or makes no sense, or the compression around it is damaged.",
        "Copy the shard anew; --fix goes on behind the damage.",
    ),
    "W04": Rule(
        "no archive",
        "error",
        "This is no tar archive: an empty file, a page of HTML, another format.",
        "Look at what the server sent; make a tar archive of it.",
    ),
    "W05": Rule(
        "trailing bytes",
        "warning",
        "Behind the end mark, or the end of the compression, stand other bytes.",
        "--fix leaves them out.",
    ),
    "W06": Rule(
        "named otherwise",
        "warning",
        "The shard is compressed and its name does not say so, or the other way.",
        "Rename it; --fix writes what the new name says.",
    ),
    "W07": Rule(
        "checksum",
        "error",
        "The bytes are not those whose checksum a manifest, a list of wids or the store keeps.",
        "Copy the shard anew, or make the list anew.",
    ),
    "W08": Rule(
        "not as listed",
        "error",
        "Size or number of samples are not those of the manifest or index.",
        "Copy the shard anew, or make the list anew.",
    ),
    "W09": Rule(
        "unreadable",
        "error",
        "The shard could not be read: no such object, no permission, a server or disk that fails.",
        "See the message; then verify again.",
    ),
    "W10": Rule(
        "scattered",
        "error",
        "Members of a sample do not stand together: for readers they are several samples.",
        "--fix puts them together.",
    ),
    "W11": Rule(
        "duplicate key",
        "error",
        "A key comes again in the shard, with the same fields: two samples are called alike.",
        "--fix leaves out copies, and gives others keys of their own.",
    ),
    "W12": Rule(
        "key in two shards",
        "warning",
        "Several shards have a sample with this key.",
        "Give keys that are unique: `asyncwds cat --rekey` does; --fix looks at each shard by itself.",
    ),
    "W13": Rule(
        "duplicate field",
        "error",
        "Two members of a sample give the same field, perhaps in another case.",
        "--fix leaves out a copy, and makes a sample of its own of another one.",
    ),
    "W14": Rule(
        "other fields",
        "warning",
        "Samples have other fields than most of the data set.",
        "Complete the samples, or filter them out.",
    ),
    "W15": Rule(
        "missing field", "error", "Samples lack a field that --require names.", "Complete the samples, or filter them out."
    ),
    "W16": Rule(
        "fields for the Hub",
        "error",
        "The first five samples have different fields (--hub): the Hugging Face Hub does not load such a data set.",
        "Complete the first samples, or begin with others.",
    ),
    "W17": Rule(
        "empty member", "warning", "A member has no bytes.", "Write the field anew; often a download or a conversion failed."
    ),
    "W18": Rule("empty shard", "warning", "The shard has no samples.", "Leave it out."),
    "W19": Rule(
        "unequal shards",
        "warning",
        "A shard has less than half or more than twice as many samples as the median; only the last may have less.",
        "Write the shards anew with equal numbers of samples.",
    ),
    "W20": Rule(
        "path outside",
        "warning",
        "A name is absolute or has '..' in it: unpacked, it may lie anywhere.",
        "--fix makes it relative.",
    ),
    "W21": Rule(
        "upper-case extension",
        "warning",
        "The extension has capitals: some readers take Jpg and jpg for one field, others don't.",
        "--fix makes it lower-case.",
    ),
    "W22": Rule(
        "dots in keys",
        "warning",
        "Parts of keys seem to be in the names of fields: the first dot of a name ends its key.",
        "Replace dots in base names.",
    ),
    "W23": Rule(
        "long name",
        "warning",
        "A name has more than 100 bytes, or a part of it more than 255: some readers cut it, and file systems refuse it.",
        "Write shorter keys.",
    ),
    "W24": Rule(
        "no extension",
        "warning",
        "A member belongs to no sample: its name has no extension, or nothing before it.",
        "Rename it, or leave it out.",
    ),
    "W25": Rule(
        "not UTF-8", "warning", "A name is not UTF-8, or has control characters.", "Rename the file and write the shard anew."
    ),
    "W30": Rule(
        "link or device",
        "warning",
        "A link, device or pipe, which readers of samples pass over.",
        "Write the file itself; --fix leaves it out.",
    ),
    "W31": Rule(
        "folder", "note", "The archive has entries for folders, which readers pass over.", "Nothing; --fix leaves them out."
    ),
    "W32": Rule(
        "sparse",
        "warning",
        "A sparse member: this library reads it, others take the map for data.",
        "--fix writes it with its zeros.",
    ),
    "W33": Rule(
        "extended headers", "note", "Members have PAX or GNU headers before their own: larger, slower, and all right.", "Nothing."
    ),
    "W34": Rule(
        "unknown entry",
        "warning",
        "An entry of a type that is not known, passed over.",
        "Write it anew as a plain file; --fix leaves it out.",
    ),
    "W40": Rule(
        "undecodable",
        "error",
        "A field cannot be decoded as its extension says (--decode).",
        "Write the field anew, or filter the sample out.",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule found in a shard; `count` times, of which this is the first. `offset` [bytes] is that in the
    (decompressed) archive.
    """

    rule: str
    message: str
    url: str
    key: str | None = None
    offset: int | None = None
    count: int = 1

    @property
    def severity(self) -> Severity:
        return RULES[self.rule].severity
