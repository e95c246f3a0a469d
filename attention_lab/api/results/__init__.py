"""Results of the API's functions: typed fields, tables, figures."""
