"""`python -m context_chat_backend` is `ccbe`."""

from .cli import main

raise SystemExit(main())
