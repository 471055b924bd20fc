"""A recommender in a process of its own, which sees public conversations and nothing else of the run (docs/isolation.md).

    settings    what the user asked for
    reach       which files the process may read
    opening     which package offers it, found without importing it
    process     the harness's side: start, watch, kill, frames
    starting    the harness's side: get it ready
    recommender the harness's side: the component that stands for the one elsewhere; `pending`, `company` and `asking` serve it
    bootstrap   the other side: takes everything away from the process, before a line of a plugin runs
    worker      the other side: the plugin; `serving` calls it, `proxy` is its language model
    messages    what goes over the pipe
    landlock, seccomp, limits   what Linux offers

`bootstrap`, `landlock`, `seccomp` and `limits` use the standard library only: they run before site-packages may be touched.
"""
