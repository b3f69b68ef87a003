"""Real servers for the tests: Postgres, S3 and a browser, each started once for a whole run, on first use.

`keeper` starts them in a process of its own that outlives no test run; `postgres`, `s3` and `browser` know how
each is started; `ports` and `process` are what those three share.
"""
