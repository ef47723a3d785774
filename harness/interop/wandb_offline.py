"""Weights & Biases runs on disk: one offline run per cell, which `wandb sync` uploads when a person says so. Nothing leaves this machine.

Source: `wandb.init(mode="offline")`, `Run.summary`, `Run.finish` as Weights & Biases documents them.
"""

from __future__ import annotations

from pathlib import Path

from harness.analysis.columns import Row
from harness.analysis.run import Run
from harness.errors import StorageError
from harness.interop.base import EXPORTS, Export, Exported, through
from harness.records.history import facts_of


@EXPORTS.register("wandb-offline")
class WandbOffline(Export):
    """Cells that went through, grouped by run, in a project named after the suite."""

    packages = ("wandb",)
    extra = "wandb"

    def write(self, run: Run, out: Path) -> Exported:
        """Writes <out>/wandb/offline-run-*/; a cell that is exported again is a further folder of the same run id."""
        import wandb

        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write {out}: {error.strerror or error}") from error
        left_out: list[str] = []
        paths = [_write_run(row, run, out) for row in through(run, left_out)]
        wandb.teardown()  # `finish` may come back before the service has written the last of a file
        return Exported(paths, left_out)


def _write_run(row: Row, run: Run, out: Path) -> Path:
    import wandb

    cell = row.record.cell
    moments = {"started": row.record.started.isoformat(), "finished": row.record.finished.isoformat()}  # the run's own are those of the export
    config = {"cell": dict(row.axes), **moments, **cell.config, "environment": facts_of(row.record.environment)}
    offline = wandb.init(
        mode="offline", dir=str(out), project=run.name, group=run.path.resolve().name, name=row.name(), id=f"{cell.id}-{row.record.started:%Y%m%d%H%M%S}", config=config,
        settings=wandb.Settings(
            silent=True, console="off", save_code=False, disable_git=True, host=row.record.environment.host,
            x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,  # of this machine: it is not the one that measured
        ),
    )  # fmt: skip
    offline.summary.update({key: reading.value for key, reading in row.readings.items() if reading.value is not None})
    folder = Path(offline.dir).parent
    offline.finish(exit_code=0)
    return folder
