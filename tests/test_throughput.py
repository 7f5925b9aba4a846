"""The throughput benchmark runs the real loop, and its table leaves the GPU's columns empty without one."""

import argparse

from scripts.maintain.benchmark import throughput


def test_a_method_is_measured_through_the_whole_loop():
    given = argparse.Namespace(device="cpu", pictures=2, batch=2, workers=0)
    record = throughput.measure("mobilenet_v2", "gradcam", given)
    assert record["pictures"] == 2
    assert record["batch"] == 2
    assert record["per_second"] > 0
    assert abs(record["hours"] * 3600 * record["per_second"] / throughput.PICTURES - 1) < 0.05
    cells = [cell.strip() for cell in throughput.markdown([record]).splitlines()[-1].split("|")]
    assert cells[1:-1] == ["mobilenet_v2", "GradCAM", f"{record['per_second']:.3g}", "", ""]


def test_gpu_hours_are_summed_only_where_all_were_measured_on_a_gpu():
    cpu = {"network": "vgg16", "label": "GradCAM", "device": "cpu", "per_second": 2.0, "hours": 8.0}
    gpu = cpu | {"device": "H100", "per_second": 200.0, "hours": 0.08}
    lines = throughput.markdown([gpu, gpu]).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == [
        ["vgg16", "GradCAM", "", "200", "0.1"],
        ["vgg16", "GradCAM", "", "200", "0.1"],
        ["all", "", "", "", "0.2"],
    ]
    assert "all" not in throughput.markdown([cpu, gpu])
