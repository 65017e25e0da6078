"""Executing a plan: estimate, confirm, run in the cell or in the background, record the usage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llm_magics.backends.in_kernel.model_cache import JOB
from llm_magics.core.errors import Interrupted, UsageError
from llm_magics.data import frames
from llm_magics.engine.jobs import Job
from llm_magics.engine.progress import Display
from llm_magics.options.run_options import RunOptions
from llm_magics.runs import dask_partitions
from llm_magics.runs.estimates import estimate
from llm_magics.runs.passes import single_pass
from llm_magics.runs.planning import loaded_with_format
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session


def execute(
    session: Session,
    plan: Plan,
    options: RunOptions,
    *,
    footer: bool = True,
    done: Callable[[Any], None] | None = None,
) -> Any:
    """Execute a plan and return the frame, or what the plan's ``shape`` makes of the run.

    With ``background`` the result is a Job, with ``dry_run`` an Estimate. ``done`` gets the result on
    success, in the background too. With ``footer`` False the caller shows the footer. Raises Interrupted
    with the number of finished rows; ``session.last`` is the partial run in any case. Over a dask frame
    the result is a dask frame, which runs when it is computed.
    """
    if plan.frame.dask_frame is not None:
        parted = dask_partitions.dask_result(session, plan, options, _work)
        if done is not None:
            done(parted)
        return parted
    if options.dry_run:
        return estimate(plan, session.store)
    _confirm(session, plan, options)
    run = Run(plan)
    run.inplace, run.done = options.inplace, done

    def finished() -> Any:
        result = run.df if plan.shape is None else plan.shape(run)
        if run.inplace:
            frames.set_inplace(plan.frame, result, list(run.row_columns))
            result = plan.frame.native
        if done is not None:
            done(result)
        return result

    if options.background:
        return _background(session, run, finished)
    _foreground(session, run, show=options.progress, footer=footer)
    return finished()


def rerun(session: Session, run: Run) -> Any:
    """Ask again for the rows of a run without an answer; returns the whole frame, as the first run would.

    The answered rows come from the store (or are asked again where nothing was stored); an unusable
    response is asked for again. The result goes where the first run's was to go.
    """
    plan = replace(run.plan, options=replace(run.plan.options, refresh=False))
    if plan.options.use_store:
        session.store.drop(run.unusable)
    return execute(session, plan, RunOptions(inplace=run.inplace), footer=False, done=run.done)


def _confirm(session: Session, plan: Plan, options: RunOptions) -> None:
    """Raises UsageError where the run may cost more than ``confirm_above`` and nobody agreed to it."""
    above = session.config.value("confirm_above")
    if above is None or options.yes or plan.options.max_cost is not None or not plan.is_paid:
        return
    expected = estimate(plan, session.store)
    if expected.known_dollars > above:
        raise UsageError(
            f"this may cost more than ${above:.2f} (confirm_above).",
            hint=f"{expected}\nAdd --yes to go on, or --max-cost USD to stop in time.",
        )


def _foreground(session: Session, run: Run, *, show: bool, footer: bool) -> None:
    session.remember(run)
    display = Display(run.meter, show=show, answer=lambda: run.partial)
    error: BaseException | None = None
    try:
        session.loop.run(_work(session, run), tick=display.tick)
    except KeyboardInterrupt as interrupt:
        error = interrupt
        raise Interrupted(_interrupted(run)) from None
    except BaseException as fault:
        error = fault
        raise
    finally:
        _close(session, run, error)
        if error and run.partial:
            display.leave()
        display.close(run.report() if footer or (error and run.meter.done) else None)


async def _work(session: Session, run: Run) -> None:
    JOB.set(f"{run.plan.task.name} {run.plan.frame.name}")
    plan = run.plan = await loaded_with_format(run.plan)
    if plan.strategy is not None:
        await plan.strategy(session, run)
    else:
        await single_pass(session, run)


def _close(session: Session, run: Run, error: BaseException | None) -> None:
    run.finish(error)
    session.record(run)
    if error is None and run.plan.evaluate is not None:
        run.evaluation = run.plan.evaluate(run)


def _interrupted(run: Run) -> str:
    if run.partial:
        return "Interrupted: llm.last.partial is the answer so far. Run the cell again to ask anew."
    if not run.meter.done:
        return "Interrupted before the first row was done. Run the cell again to go on."
    return f"Interrupted: {run.meter.rows} done and kept. Run the cell again to go on; llm.last.df has them."


def _background(session: Session, run: Run, finished: Callable[[], Any]) -> Job:
    async def work() -> Any:
        try:
            await _work(session, run)
        except BaseException as error:
            _close(session, run, error)
            raise
        _close(session, run, None)
        return finished()

    return session.submit(run, work())
