"""`python -m tests.doubles.sim`: a Nextcloud by hand. It prints one line for each request; Ctrl-C ends it."""

import argparse
import json
import signal
import sys
import threading
from typing import Any

from tests.doubles.sim.demo import Demo, say
from tests.doubles.sim.sim import Sim

MIXED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("status", {"status": 429, "retry_after": 1}),
    ("status", {"status": 500}),
    ("maintenance", {}),
    ("reset", {}),
    ("lost", {}),
    ("html", {}),
)
"""What `--fault-rate` is made of."""


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    nextcloud = _simulator(options)
    try:
        with nextcloud:
            _run(nextcloud, options)
    except OSError as error:
        sys.exit(f"Cannot listen on {options.host}:{options.port}: {error.strerror}")
    except KeyboardInterrupt:
        say("\n" + json.dumps(nextcloud.stats(), indent=1, default=repr, ensure_ascii=False))
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.doubles.sim",
        description="A Nextcloud that exists only as HTTP, to try a gateway with. Ctrl-C ends it with statistics.",
    )
    parser.add_argument("--port", type=int, default=8080, help="0: any free one; default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
    parser.add_argument("--nc", type=int, default=33, choices=range(32, 36), help="major version; default: %(default)s")
    parser.add_argument("--secret", default="12345", help="default: %(default)s")
    parser.add_argument("--exapp", default="", metavar="URL", help="of the gateway; AppAPI's calls are sent there")
    parser.add_argument("--deploy", action="store_true", help="play a deployment: heartbeat, /init, progress, enable")
    parser.add_argument("--disabled", action="store_true", help="begin with a disabled gateway")
    parser.add_argument("--demo", action="store_true", help="documents of several users, questions, revoked access")
    parser.add_argument("--once", action="store_true", help="end after the demo; status 1 if something went wrong")
    parser.add_argument("--strict", action="store_true", help="answer 400 to what only a careless client sends")
    parser.add_argument("--quiet", action="store_true", help="print no requests")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of the requests that go wrong somehow")
    return parser


def _simulator(options: argparse.Namespace) -> Sim:
    nextcloud = Sim(
        port=options.port,
        host=options.host,
        nc_major=options.nc,
        secret=options.secret,
        enabled=not (options.disabled or options.deploy),
        exapp_url=options.exapp,
        strict=options.strict,
        verbose=not options.quiet,
    )
    for kind, details in MIXED if options.fault_rate else ():
        nextcloud.fault(kind, times=None, p=options.fault_rate / len(MIXED), **details)
    return nextcloud


def _run(nextcloud: Sim, options: argparse.Namespace) -> None:
    demo = Demo(nextcloud)
    if options.demo:
        demo.load()
    _explain(nextcloud)
    if options.deploy:
        threading.Thread(target=nextcloud.deploy, daemon=True).start()
    succeeded = demo.run() if options.demo else True
    if options.once:
        sys.exit(0 if succeeded else 1)
    signal.pause()


def _explain(nextcloud: Sim) -> None:
    say(f"\nNextcloud {nextcloud.nc_major} at {nextcloud.url}. Start a gateway in another terminal:\n")
    say(f"  NEXTCLOUD_URL={nextcloud.url} APP_SECRET={nextcloud.secret} APP_VERSION={nextcloud.app_version} \\")
    say("  RAG_BACKEND=reference APP_PERSISTENT_STORAGE=$(mktemp -d) make run\n")
    if nextcloud.exapp_url:
        say(f"It is looked for at {nextcloud.exapp_url} (APP_HOST, APP_PORT).\n")


if __name__ == "__main__":
    main()
