"""The page where people read and judge recorded calls: server-rendered, needing no script.

In reading order; a module imports only those above it:

    bounded     the body of a request, of a bounded length
    refusals    an answer that is an error, in one shape
    passages    a text on its way to a page: cut, laid out, nothing in it invisible
    pictures    images within messages: shown when small and of a known kind, else named
    dialogue    what was said, message by message
    conditions  a filter as the conditions it joins: one added, one taken out
    facts       what else is known of a call, in words and units
    bars        counts by hour as the bars of a picture
    addresses   the URLs of the pages
    history     what was said of a call, and what labels change
    judging     the forms of a call's page, as something said
    listing     the list as a page
    reading     one call as a page
    bodies      recorded bodies as files to download
    assets      templates, static files, and the headers of every page
    remembered  the last few things that took long to make, each made once
    dataset_pages  datasets as pages
    drift_pages  drift reports as pages
    routes      which address is which page

`templates/` and `static/` hold what a browser gets.
"""
