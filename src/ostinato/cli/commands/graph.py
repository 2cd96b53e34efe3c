"""This module is ``ostinato graph``: draw a flow."""

import click

from ostinato.cli import options


@click.command("graph", short_help="Draw a flow.")
@click.argument("target", default="")
@options.output("text", "mermaid", "dot", "json")
@options.environment
def command(target: str, output: str, environment: str | None) -> None:
    """Draw the flow of TARGET.

    TARGET is a file, file.py:flow, a dotted module, a project's folder, or the name of a flow
    of this project.
    """
    import msgspec

    from ostinato.cli import code, graphs

    code.use_environment(environment)
    loading = code.begin_drawing(target)
    manifest, drawn = loading.graphs()
    loading.host.close()
    flow = code.choose(loading, manifest)
    outside = graphs.outside_of(msgspec.json.decode(drawn[flow.name]), flow)
    match output:
        case "json":
            click.echo(drawn[flow.name])
        case "mermaid":
            click.echo(graphs.as_mermaid(flow, outside))
        case "dot":
            click.echo(graphs.as_dot(flow, outside))
        case _:
            click.echo(graphs.as_text(flow, outside))
