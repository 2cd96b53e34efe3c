# ---
# retries: 0 # wrong rows stay wrong
# ---
"""Fail if the day's rows break a rule; return how often something odd was found."""


def main(rules: list[tuple[str, str, int, str]], ds: str) -> dict[str, int]:
    """Look through what `rules.sql` has counted."""
    errors, warnings = [], {}
    for severity, rule, count, example in rules:
        if severity == "error" and count:
            errors.append(f"{rule} ({count} times not, such as {example})")
        elif count:
            warnings[rule] = count
            print(f"{rule}: {count}, such as {example}")
    if errors:
        raise ValueError(f"{ds} breaks {len(errors)} rules: {'; '.join(errors)}")
    return warnings
