"""What can be asked: `python -m scripts` lists every command by what it is for."""

from scripts.dispatch import commands

GROUPS = {
    "Look at one picture": ("explain", "figure"),
    "Read finished runs": ("table", "compare", "effects", "overview", "report", "page", "reliability", "runs"),
    "Before a run": ("check_data", "layers", "preflight", "train_head"),
    "Publish and check numbers": ("claim", "leaderboard"),
    "Validate measures and methods": ("removal", "peers"),
}


def main() -> None:
    purposes = commands()
    for title, names in GROUPS.items():
        print(f"{title}\n" + "\n".join(f"  scripts.{name:<13} {purposes[name]}" for name in names) + "\n")
    print("Maintain the suite\n  " + ", ".join(f"scripts.maintain.{name}" for name in commands("maintain")))
    print("\nA run is `python run.py`. Every command: python -m scripts.NAME --help")


if __name__ == "__main__":
    main()
