"""`map`: functions of a user, for samples and batches, in threads, processes, and on a loop."""

import textwrap

import pytest

import asyncwds as wds
from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, Outputs, map_samples

FUNCTIONS = """
import asyncio, os

def upper(sample):
    return {**sample, "up": sample["txt"].decode().upper()}

async def later(sample):
    await asyncio.sleep(0.01)
    return {**sample, "up": sample["txt"].decode().upper()}

def batch(samples, device=None):
    return [{**sample, "json": {"of": len(samples), "device": device}} for sample in samples]

def some(sample):
    number = int(sample["__key__"])
    if number == 1:
        return None
    if number == 2:
        return [{"__key__": f"{number}-{k}", "txt": str(k)} for k in range(3)]
    if number == 3:
        raise ValueError("three")
    if number == 4:
        return 4
    return sample

def noted(samples):
    with open("ran", "a") as file:
        print(*[sample["__key__"] for sample in samples], file=file)
    if not os.path.exists("on") and any(sample["__key__"] == "5" for sample in samples):
        raise ValueError("five")
    return [{**sample, "json": {"of": len(samples)}} for sample in samples]

def less(sample):
    return {"txt": sample["txt"]}

def too_few(samples):
    return samples[1:]
"""


@pytest.fixture
def shard(tmp_path):
    (tmp_path / "functions.py").write_text(textwrap.dedent(FUNCTIONS))
    path = tmp_path / "in.tar"
    path.write_bytes(make_shard([{"__key__": f"{n}", "json": b"{}", "txt": f"text {n}".encode()} for n in range(8)]))
    return path


def run(shard, name, *, on_error="fail", **options):
    """(report, samples)"""
    out = shard.parent / "out.tar"
    inputs = Inputs(urls=[str(shard)], on_error=on_error)
    report = map_samples(inputs, Outputs(target=str(out), force=True), f"{shard.parent}/functions.py:{name}", **options)
    samples = [dict(sample) for sample in wds.WebDataset(str(out), shardshuffle=False)]
    return report, [{name: value for name, value in sample.items() if name[:2] != "__" or name == "__key__"} for sample in samples]


@pytest.mark.parametrize(
    ("name", "options"),
    [("upper", {}), ("upper", {"jobs": 3}), ("upper", {"workers": "process"}), ("later", {"jobs": 4, "workers": "async"})],
)
def test_a_function_for_each_sample(shard, name, options):
    _, samples = run(shard, name, **options)
    assert samples == [
        {"__key__": f"{n}", "json": b"{}", "txt": f"text {n}".encode(), "up": f"TEXT {n}".encode()} for n in range(8)
    ]


def test_batches_and_devices(shard):
    _, samples = run(shard, "batch", batch=3, devices=["cuda:0", "cuda:1"])
    assert [eval(sample["json"].decode()) for sample in samples] == [
        {"of": of, "device": device} for of, device in [(3, "cuda:0")] * 3 + [(3, "cuda:1")] * 3 + [(2, "cuda:0")] * 2
    ]


def test_none_one_and_several_and_errors(shard):
    with pytest.raises(SampleError, match="raised ValueError: three.*key=3"):
        run(shard, "some")
    report, samples = run(shard, "some", on_error="skip")
    assert [sample["__key__"] for sample in samples] == ["0", "2-0", "2-1", "2-2", "5", "6", "7"]
    assert (report.samples_in, report.made, report.samples_out) == (8, 2, 7)
    assert dict(report.dropped) == {"the function returned None": 1, "damaged": 2}
    assert "returned int" in report.damaged[1]


def test_what_it_leaves_out_is_left_out_and_the_rest_is_copied(shard):
    _, samples = run(shard, "less")
    assert samples[1] == {"__key__": "1", "txt": b"text 1"}
    member = make_shard([{"__key__": "1", "txt": b"text 1"}])[:1024]
    assert member in (shard.parent / "out.tar").read_bytes()


def test_resumed_behind_finished_shards_with_the_same_batches(shard, monkeypatch):
    monkeypatch.chdir(shard.parent)
    outputs = Outputs(target="out-{shard}.tar", max_count=2, resume=True)
    with pytest.raises(SampleError, match="five"):
        map_samples(Inputs(urls=["in.tar"]), outputs, "functions.py:noted", batch=3)
    (shard.parent / "on").touch()
    (shard.parent / "ran").unlink()
    map_samples(Inputs(urls=["in.tar"]), outputs, "functions.py:noted", batch=3)
    assert (shard.parent / "ran").read_text() == "0 1 2\n3 4 5\n6 7\n"
    sizes = [sample["json"] for sample in wds.WebDataset("out-{0..3}.tar", shardshuffle=False).decode()]
    assert sizes == [{"of": 3}] * 6 + [{"of": 2}] * 2


@pytest.mark.parametrize("name", ["nothing", "asyncio", "too_few"])
def test_functions_that_are_none(shard, name):
    with pytest.raises(SpecError):
        run(shard, name, batch=4)


def test_workers_async_are_for_coroutine_functions(shard):
    with pytest.raises(SpecError, match="is no coroutine function"):
        run(shard, "upper", workers="async")


@pytest.mark.parametrize("name", ["functions", ":f", "no_such_module:f", "os:sep"])
def test_names_that_are_none(shard, name):
    with pytest.raises(SpecError):
        map_samples(Inputs(urls=[str(shard)]), Outputs(target=None, dry_run=True), name)


def test_a_module_that_fails_names_what_it_raised(shard, tmp_path):
    (tmp_path / "with_a_mistake.py").write_text("def f(:")
    with pytest.raises(SpecError, match="cannot be imported: SyntaxError: "):
        map_samples(Inputs(urls=[str(shard)]), Outputs(target=None, dry_run=True), f"{tmp_path}/with_a_mistake.py:f")


def test_no_functions_in_secure_mode(shard, monkeypatch):
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(SpecError, match="WDS_SECURE"):
        map_samples(Inputs(urls=["pipe:true"]), Outputs(target=None, dry_run=True), "os:getpid")
