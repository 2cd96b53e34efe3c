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
    from ostinato.cli import code, graphs

    code.use_environment(environment)
    if output == "json":
        loading = code.begin_drawing(target)
        manifest, drawn = loading.graphs()
        loading.host.close()
        click.echo(drawn[code.choose(loading, manifest).name])
        return
    loading = code.begin_loading(target)
    manifest, _, _ = loading.definitions()
    loading.host.close()
    flow = code.choose(loading, manifest)
    match output:
        case "mermaid":
            click.echo(graphs.as_mermaid(flow))
        case "dot":
            click.echo(graphs.as_dot(flow))
        case _:
            click.echo(graphs.as_text(flow))
