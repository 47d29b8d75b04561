"""Starts the gateway as an ExApp."""

from context_chat_backend.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["serve"]))
