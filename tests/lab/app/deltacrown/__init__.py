import sys

# Django prefers psycopg 3 wherever that happens to be installed; the application is written for psycopg2.
sys.modules.setdefault("psycopg", None)
