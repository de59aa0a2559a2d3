"""The Debian package: `build` builds it, `board` plays a board when it is tried (tools/test_deb.sh)."""
