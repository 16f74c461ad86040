"""The engine: one worker carries one request out under a lease.

The loop, on one page (``loop``). A worker acquires the lease on the request's run row and then, until nothing is due
within its idle time or its time is up:

1. plan     ``planner`` reads the next page of the request's sources, looks its users up and inserts their rows
             a user who cannot be looked up is deferred: ``late_lookups`` looks it up again by itself
2. hold     found users wait for a person to confirm their number, if the request needs that
3. send     ``sender`` announces a call of up to 20 users by committing a send intent, makes it and records its outcome
4. verify   ``verifier`` reads cut-offs back: proof for revoked users, settlement for ambiguous ones
5. end      ``finalizer`` writes the final status, or releases the lease and says when the request is due again

A worker that dies leaves its lease to expire; the timer (``service.upkeep.sweeper``) then finds the request's open
marker and sends a work message, and the next worker goes on from what was committed. There is no other recovery path.

Glossary
    lease           the time a worker owns a run row; other workers stay away until it ends
    fencing token   the run row's ETag: a worker that lost its lease cannot commit any more
    unit of work    one worker's commits for one request, in order, each in one transaction with the run row
    send intent     the write-ahead record of a call to Graph, committed before the call leaves
    ambiguous       a call that may have been carried out (no answer, server error, dead host): read before resent
    apart           waiting by itself, in growing pauses, because its own look-up, call or read fails
    cut-off         ``signInSessionsValidFromDateTime``: sessions older than it are revoked
    verified        the cut-off was read back and lies past the call
    checkpoint      the cursor into the request's sources, committed with each page
    low watermark   the position below which no user waits to be sent or settled
    gate            the time until which Graph asked all instances not to call (``Retry-After``), reads and writes apart
    budget          the token bucket that all instances pay write calls from
    open marker     the row that exists while a request has not ended, with the time of its next redrive
"""
