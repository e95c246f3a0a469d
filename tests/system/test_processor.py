"""The CPU is recorded by its model name, where the system tells it."""

import pytest

from attention_lab.system import processor


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
  path = tmp_path / "cpuinfo"
  monkeypatch.setattr(processor, "CPUINFO", path)
  monkeypatch.setattr(processor.platform, "system", lambda: "Linux")
  monkeypatch.setattr(processor.platform, "processor", lambda: "")
  return path


@pytest.mark.parametrize(("cores", "text"), [(1, "1 core"), (16, "16 cores")])
def test_model_name_and_cores(cpuinfo, monkeypatch, cores, text):
  cpuinfo.write_text("processor : 0\nmodel name\t: Abacus  9000 CPU\nflags : x\n" * 2)
  monkeypatch.setattr(processor, "_cores", lambda: cores)
  assert processor.processor() == f"Abacus 9000 CPU, {text}"


def test_unknown_model_is_none(cpuinfo):
  assert processor.processor() is None
  cpuinfo.write_text("processor : 0\n")
  assert processor.processor() is None
