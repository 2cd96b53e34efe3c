def main(revenue):
    """Print the mart, which arrives as a frame."""
    print(revenue.to_string(index=False))
