"""The report that a person reads: a picture, a page, and the page live.

    book      a campaign as it lies on disk, damaged records named and passed by
    diffs     what each experiment changed in train.py
    curves    training curves, thinned for a page
    health    pace, idle share, share verified and errors, against their targets
    layers    what checked the incumbent's number
    facts     all of that as one value that a page can be made of
    page      facts as one HTML file that needs nothing else
    labels    where labels go so that none overlaps another
    picture   facts as progress.png
    files     both, in the campaign's folder
    live      the page over HTTP, with the run in progress moving

It may hold what the person found on held-out text (see `headline`), so the agent is denied the page and the
command that makes it; what `live` serves never holds that.
"""
