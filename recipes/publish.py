"""Publish every kept checkpoint of a run as a revision of one repository on the Hugging Face Hub.

    kormo publish runs/tiny/stage2 OWNER/NAME --dry-run
    kormo publish runs/tiny/stage2 OWNER/NAME --private

Each checkpoint-N becomes a branch such as `stage2-step250-tokens512k`, with weights that
`from_pretrained(…, revision=…)` loads. `main` gets final/, if the run has ended, `checkpoints.csv`
(step, tokens, revision, hash of the weights, bits per byte) and `data_order.json`, which says how
to tell what each step read. Started again, it uploads what is not there yet. To upload one model
directory, use `kormo push`.
"""

from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.common.terminal import align
from recipes.command_line import exit_on_error
from recipes.opened_run import OpenedRun, open_run


def _show_plan(run: OpenedRun, repo: str) -> None:
    from recipes.engine.checkpoint_release import find_releases

    rows = [("revision", "step", "tokens", "bytes of the checkpoint", "bits per byte")]
    for release in find_releases(run):
        measured = ", ".join(f"{key} {value:.4f}" for key, value in release.bits_per_byte.items())
        size = sum(p.stat().st_size for p in release.checkpoint.rglob("*") if p.is_file())
        cells = (release.revision, f"{release.step:,}", f"{release.tokens:,}", f"{size:,}")
        rows.append((*cells, measured or "not measured"))
    print(align(rows, left=(0, 4)))
    final = "final/, " if run.final else ""
    print(f"would go to {repo}; its main gets {final}checkpoints.csv and data_order.json")


def main() -> None:
    parser = documented_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="output directory of a run")
    parser.add_argument("repo", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", help="if the repository is new")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and exit")
    args = parser.parse_args()
    run = open_run(args.run)

    # The Hub's client and torch take seconds to load: a mistake above is told without them.
    from recipes.push import check_repository

    check_repository(args.repo)
    if args.dry_run:
        _show_plan(run, args.repo)
        return
    from recipes.engine.checkpoint_release import publish

    for line in publish(run, args.repo, args.private):
        print(line, flush=True)


if __name__ == "__main__":
    exit_on_error(main)
