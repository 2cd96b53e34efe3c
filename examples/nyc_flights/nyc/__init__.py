"""How the flow `nyc_flights` reads its source, keeps its warehouse and draws its dashboard."""
