#!/bin/sh
# Debian's chromium and its driver for the tests of report.html. Where they cannot be installed those tests are skipped, with a reason.
command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "chromium: not root on a Debian, so not installed; the browser tests will be skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get install -y -qq --no-install-recommends chromium chromium-driver || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver; }; } >/dev/null 2>&1 \
  || echo "chromium: apt-get could not install it; the browser tests will be skipped" >&2
exit 0
