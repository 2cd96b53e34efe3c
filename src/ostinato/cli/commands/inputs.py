"""This module is ``ostinato inputs``: show which tasks wait for a person."""

from pathlib import Path

import click

from ostinato.cli import options


@click.command("inputs", short_help="Show what waits for a person.")
@click.argument("run", required=False)
@options.project
@options.output("text", "json")
def command(run: str | None, project: Path | None, output: str) -> None:
    """Show the tasks that wait for a person, of RUN or of all runs.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`.
    """
    from ostinato.cli import as_json
    from ostinato.cli.display import moment
    from ostinato.cli.opening import name_of, open_runs
    from ostinato.client.answers import answer_command, wanted

    with open_runs(project) as opened:
        client = opened.client
        waiting = client.inputs(client.run(run).id if run else None)
        rows = {one.run_id: client.run(str(one.run_id)) for one in waiting}
        if output == "json":
            as_json.echo([as_json.waiting_input(rows[one.run_id], one) for one in waiting])
            return
        if not waiting:
            click.echo("nothing waits for a person")
        for one in waiting:
            name = name_of(rows[one.run_id])
            until = f", until {moment(one.due_us)}" if one.due_us else ""
            click.echo(f"{name} {one.name}: {one.request.title}")
            if one.request.message:
                click.echo(click.wrap_text(one.request.message, 100, "  ", "  "))
            click.echo(f"  takes {wanted(one.request)}, since {moment(one.since_us)}{until}")
            click.echo(f"  {answer_command(name, one.name, one.request)}")
            if client.owner(rows[one.run_id]) is None:
                how = "is suspended" if one.holds_nothing else "was interrupted"
                click.echo(f"  the run {how}: ostinato resume '{name}' goes on with it")
