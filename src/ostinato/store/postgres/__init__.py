"""This package is the store on PostgreSQL: any number of machines."""
