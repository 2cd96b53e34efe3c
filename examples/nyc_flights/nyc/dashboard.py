"""Draws the dashboard: one HTML page with its charts and their JavaScript inside."""

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from nyc.source import write_whole

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PAGE = Path(__file__).with_suffix(".html")

BLUE, PALE_BLUE, ORANGE, GREY = "#2f6db5", "#a9c6e8", "#e07b39", "#aab4bf"
INK, SOFT, LINE = "#1b2733", "#71808f", "#e3e8ee"

#: Pixels. A tall chart stands beside two low ones and their titles.
LOW, MIDDLE, HIGH, TALL = 205, 300, 390, 510


class Delays(NamedTuple):
    """What a mart says of one group: one bar, point or line of the page."""

    name: Any
    flights: int
    dep_delay: float | None
    arr_delay: float | None
    late_percent: float
    cancelled_percent: float


#: The fields of Delays from the sums and counts of a mart, over all its days.
DELAYS = """
    select {group},
           sum(flights)                                             as flights,
           sum(dep_delay_minutes) / nullif(sum(departed), 0)        as dep_delay,
           sum(arr_delay_minutes) / nullif(sum(arrived), 0)         as arr_delay,
           100 * sum(departed_late) / sum(flights)                  as late_percent,
           100 * sum(cancelled) / sum(flights)                      as cancelled_percent
    from {mart} group by all order by {order} nulls first
"""


def write_dashboard(connection: "DuckDBPyConnection", path: Path) -> None:
    """Draw all days that the marts have."""

    def read(mart: str, group: str, order: str) -> list[Delays]:
        return [
            Delays(*row)
            for row in connection.execute(
                DELAYS.format(mart=mart, group=group, order=order)
            ).fetchall()
        ]

    [total] = read("delays_by_airport", "null", "all")
    days = read("delays_by_airport", "flight_date", "flight_date")
    hours = read("delays_by_hour", "hour", "hour")
    weather = read("delays_by_weather", "weather", "dep_delay")
    carriers = read("delays_by_carrier", "airline", "arr_delay")
    origins = read("delays_by_airport", "origin_name", "dep_delay")

    cards = [
        card(
            "Day by day",
            "Mean delay, and the share of flights that were cancelled",
            draw_days(days),
            "wide",
        ),
        card(
            "By hour of day",
            "Mean departure delay by the hour of the scheduled departure",
            draw_hours(hours),
        ),
        card(
            "By weather",
            "Mean departure delay by the weather at the origin, with the number of flights",
            draw_weather(weather),
        ),
        card(
            "By carrier",
            "Mean arrival delay (below zero is early), with the number of flights",
            draw_carriers(carriers),
            "tall",
        ),
        card("By origin", "Mean delay", draw_origins(origins)),
        card(
            "Punctuality by origin",
            "Share of scheduled flights, at departure",
            draw_punctuality(origins),
        ),
        card(
            "Carriers in figures", "Means and shares over all days", write_table(carriers), "wide"
        ),
    ]
    html = Template(PAGE.read_text(encoding="utf-8")).substitute(
        period=describe_period([day.name for day in days]),
        plotly=get_plotlyjs(),
        figures="".join(
            f"<div><b>{value}</b><span>{name}</span></div>"
            for name, value in key_figures(total, days)
        ),
        cards="\n".join(cards),
    )
    write_whole(path, html.encode())


def key_figures(total: Delays, days: Sequence[Delays]) -> Iterable[tuple[str, str]]:
    """Name and write out the figures at the top of the page."""
    yield "flights scheduled", f"{total.flights:,}"
    yield "days" if len(days) > 1 else "day", f"{len(days)}"
    yield "mean departure delay", minutes(total.dep_delay)
    yield "mean arrival delay", minutes(total.arr_delay)
    yield "departed late", percent(total.late_percent)
    yield "cancelled", percent(total.cancelled_percent)


def draw_days(days: Sequence[Delays]) -> go.Figure:
    """Draw the mean delays of each day, and beneath them the cancellations."""
    names = [day.name for day in days]
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.08)
    for name, values, color in (
        ("Departure", [day.dep_delay for day in days], BLUE),
        ("Arrival", [day.arr_delay for day in days], ORANGE),
    ):
        figure.add_scatter(
            x=names,
            y=values,
            name=name,
            mode="lines+markers" if len(days) <= 60 else "lines",
            line={"color": color, "width": 2},
            hovertemplate="%{y:.1f} min",
        )
    figure.add_bar(
        x=names,
        y=[day.cancelled_percent for day in days],
        name="Cancelled",
        marker_color=GREY,
        customdata=[f"{day.flights:,}" for day in days],
        hovertemplate="%{y:.1f}% of %{customdata} flights",
        row=2,
        col=1,
    )
    figure.update_layout(height=HIGH, hovermode="x unified", legend=legend_on_top())
    figure.update_xaxes(
        tickformat="%-d %b", tickvals=names if len(names) <= 14 else None, showgrid=False
    )
    figure.update_yaxes(ticksuffix=" min", zerolinecolor=GREY, row=1)
    figure.update_yaxes(ticksuffix="%", rangemode="tozero", nticks=4, row=2)
    return figure


def draw_hours(hours: Sequence[Delays]) -> go.Figure:
    """Draw the mean departure delay over the hours of the day."""
    figure = go.Figure()
    figure.add_bar(
        x=[f"{hour.name:02}" for hour in hours],
        y=[hour.dep_delay for hour in hours],
        marker_color=BLUE,
        customdata=details(hours),
        hovertemplate=hover("%{x}:00", "%{y:.1f} min"),
    )
    figure.update_layout(height=MIDDLE)
    figure.update_xaxes(type="category", tickangle=0, showgrid=False)
    figure.update_yaxes(ticksuffix=" min")
    return figure


def draw_weather(weather: Sequence[Delays]) -> go.Figure:
    """Draw the mean departure delay by weather, the worst at the top."""
    return draw_means(weather, [row.dep_delay for row in weather], MIDDLE)


def draw_carriers(carriers: Sequence[Delays]) -> go.Figure:
    """Draw the mean arrival delay by carrier, the worst at the top."""
    return draw_means(carriers, [row.arr_delay for row in carriers], TALL)


def draw_means(rows: Sequence[Delays], means: Sequence[float | None], height: int) -> go.Figure:
    """Draw a bar for each row, named with the number of flights that its mean stands on."""
    figure = go.Figure()
    figure.add_bar(
        y=[f"{row.name} <span style='color:{SOFT}'>{row.flights:,}</span>" for row in rows],
        x=means,
        orientation="h",
        marker_color=[PALE_BLUE if (mean or 0) < 0 else BLUE for mean in means],
        text=["" if mean is None else f"{mean:.1f}" for mean in means],
        textposition="outside",
        cliponaxis=False,
        customdata=details(rows),
        hovertemplate=hover("%{y}", "%{x:.1f} min"),
    )
    known = [mean for mean in means if mean is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    room = 0.15 * (high - low)  # for the number at the end of the longest bar
    figure.update_layout(height=height, bargap=0.3)
    figure.update_xaxes(
        ticksuffix=" min", range=[low - room if low < 0 else 0, high + room], zerolinecolor=GREY
    )
    figure.update_yaxes(showgrid=False, ticklabelstandoff=8)
    return figure


def draw_origins(origins: Sequence[Delays]) -> go.Figure:
    """Draw the mean delays of each airport."""
    figure = go.Figure()
    for name, values, color in (
        ("Arrival", [row.arr_delay for row in origins], ORANGE),
        ("Departure", [row.dep_delay for row in origins], BLUE),
    ):
        figure.add_bar(
            y=[row.name for row in origins],
            x=values,
            name=name,
            orientation="h",
            marker_color=color,
            customdata=details(origins),
            hovertemplate=hover("%{y}", f"{name} %{{x:.1f}} min"),
        )
    figure.update_layout(
        height=LOW, bargap=0.3, legend=legend_on_top() | {"traceorder": "reversed"}
    )
    figure.update_xaxes(ticksuffix=" min", zerolinecolor=GREY)
    figure.update_yaxes(showgrid=False, ticklabelstandoff=8)
    return figure


def draw_punctuality(origins: Sequence[Delays]) -> go.Figure:
    """Draw which share of each airport's flights left on time, left late or was cancelled."""
    figure = go.Figure()
    for name, values, color in (
        ("On time", [100 - row.late_percent - row.cancelled_percent for row in origins], PALE_BLUE),
        ("Late", [row.late_percent for row in origins], ORANGE),
        ("Cancelled", [row.cancelled_percent for row in origins], GREY),
    ):
        figure.add_bar(
            y=[row.name for row in origins],
            x=values,
            name=name,
            orientation="h",
            marker_color=color,
            text=[f"{value:.0f}%" if value >= 5 else "" for value in values],
            textangle=0,
            insidetextanchor="middle",
            customdata=details(origins),
            hovertemplate=hover("%{y}", f"{name} %{{x:.1f}}%"),
        )
    figure.update_layout(height=LOW, barmode="stack", bargap=0.4, legend=legend_on_top())
    figure.update_xaxes(ticksuffix="%", range=[0, 100], showgrid=False)
    figure.update_yaxes(showgrid=False, ticklabelstandoff=8)
    return figure


def legend_on_top() -> dict[str, Any]:
    """Place a legend over the plot, at its left."""
    return {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"}


def details(rows: Sequence[Delays]) -> list[tuple[str, str, str]]:
    """Write out what the pointer shows of a bar beside its length."""
    return [
        (f"{row.flights:,}", percent(row.late_percent), percent(row.cancelled_percent))
        for row in rows
    ]


def hover(name: str, value: str) -> str:
    """Lay out what the pointer shows, with the three details."""
    return (
        f"<b>{name}</b><br>{value}<br>"
        "%{customdata[0]} flights, %{customdata[1]} departed late, "
        "%{customdata[2]} cancelled<extra></extra>"
    )


def write_table(rows: Sequence[Delays]) -> str:
    """Write the rows as a table, those with the most flights first."""
    heads = ("Carrier", "Flights", "Departure delay", "Arrival delay", "Departed late", "Cancelled")
    lines = ["".join(f"<th>{head}</th>" for head in heads)]
    for row in sorted(rows, key=lambda row: -row.flights):
        cells = (
            escape(row.name),
            f"{row.flights:,}",
            minutes(row.dep_delay),
            minutes(row.arr_delay),
            percent(row.late_percent),
            percent(row.cancelled_percent),
        )
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def card(title: str, subtitle: str, content: go.Figure | str, size: str = "") -> str:
    """Frame a chart or a table with its titles."""
    if isinstance(content, go.Figure):
        content = embed(content, "chart-" + title.lower().replace(" ", "-"))
    return f'<section class="{size}"><h2>{title}</h2><p>{subtitle}</p>{content}</section>'


def embed(figure: go.Figure, name: str) -> str:
    """Give a chart the look of the page and write it as HTML; the page brings the JavaScript."""
    figure.update_layout(
        template="plotly_white",
        autosize=True,
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        hoverlabel={"bgcolor": "white", "bordercolor": LINE, "font": {"color": INK}},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(gridcolor=LINE)
    figure.update_yaxes(gridcolor=LINE)
    config = {"displayModeBar": False, "responsive": True}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config))


def describe_period(days: Sequence[date]) -> str:
    """Say from when to when the page is, and how many days are missing between."""
    first, last = min(days), max(days)
    if first == last:
        return f"{first:%-d %B %Y}"
    missing = (last - first).days + 1 - len(days)
    return f"{first:%-d %B %Y} to {last:%-d %B %Y}" + (
        f", {missing} of the days not loaded" if missing else ""
    )


def minutes(value: float | None) -> str:
    """Write out a mean of minutes."""
    return "none" if value is None else f"{value:.1f} min"


def percent(value: float) -> str:
    """Write out a percentage."""
    return f"{value:.1f}%"
