"""Views over the tables, as SQL files. They read tables, and write none."""
