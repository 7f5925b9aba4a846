"""Kill runs at random moments, restart them, and compare their rows with what there must be.

    python -m scripts.maintain.chaos --kills 100

Several runs of the built-in data go on at once, one of them in shards, one with a network and saved maps, while a
further process compacts their rows; SIGKILL hits one of them every fraction of a second. Afterwards every run is
finished, and its rows must be those of an undisturbed run byte for byte, the timing fields apart.

Equal rows could be equally wrong, so four more things are shown without the code that is on trial (proofs.py): the
pairs are those of the plan, each with the point that its picture's seed gives and the hit that its boxes give; a second
writer is refused while the first one lives; what is acknowledged is synced; of a torn group of rows nothing stays.
Ends with a line of JSON: kills, restarts (more than kills where a process found its run locked and was started again),
rows. The exit status is 1 where anything of this does not hold.
"""

from pathlib import Path


def chaos(folder: Path, kills: int, pictures: int, seconds: float, pause: float, seed: int, network: bool) -> dict:
    """The figures of the last line; RuntimeError says what does not hold. folder: an empty one, for all results.

    pictures: of the built-in data, per run. seconds: that the waiting methods take for a picture. pause: mean seconds
    between two kills. network: whether a run with a network is among them.
    """
    import torch

    from eval.running.job import prepare_dataset
    from scripts.maintain.chaos import proofs, storm

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # forked processes must not inherit a pool of threads that they do not have
    try:
        disturbed = storm.jobs(folder / "disturbed", pictures, seconds, network)
        dataset, planned = prepare_dataset(storm.composed(disturbed["waiting"][0]))  # once, before the forks
        there = proofs.expected(dataset, planned, pictures)
        figures = storm.storm(folder / "disturbed", disturbed, kills, pause, seed)
        calm = storm.jobs(folder / "calm", pictures, 0.0, network)
        storm.undisturbed(calm)
        rows = 0
        for name in disturbed:
            noisy, quiet = (proofs.read(folder / part, name) for part in ("disturbed", "calm"))
            proofs.check(name, quiet, there, drawn=name != "gradcam")
            proofs.alike(name, noisy, quiet)
            rows += len(noisy)
        proofs.second_writer(storm.waiting(folder / "rival", 100, 0.3))  # killed as soon as all were refused
        proofs.synced(storm.waiting(folder / "power", 3, 0.0))
        torn = proofs.torn(storm.waiting(folder / "torn", pictures, 0.0))
    finally:
        torch.set_num_threads(before)
    return figures | {"rows": rows, "torn": torn}
