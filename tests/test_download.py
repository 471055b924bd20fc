"""Downloads against a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading

import pytest

from harness.api import RemoteFile
from harness.download import download
from harness.errors import DataError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(CONTENT).hexdigest()


class Site(http.server.ThreadingHTTPServer):
    """Serves `content`; what it does wrong is set per test. `asked` keeps the Range header of every request."""

    daemon_threads = True
    ranges = True
    etag: str | None = '"v1"'
    content = CONTENT
    drop_after: int | None = None
    """Bytes after which a connection is cut, as long as `drops` is above 0."""
    drops = 0
    statuses: list[int] = []
    chunked = False
    redirect: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.asked: list[str | None] = []
        self.base = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that hangs up early is part of the tests."""


class Page(http.server.BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        site = self.server
        self.close_connection = True
        site.asked.append(self.headers["Range"])
        if site.redirect and self.path == "/file.bin":
            self.send_response(302)
            self.send_header("Location", site.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if site.statuses:
            self.send_response(site.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.send_header("Retry-After", "0")
            self.end_headers()
            return
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        condition = self.headers["If-Range"]
        if site.ranges and wanted and (condition is None or condition == site.etag):
            start = int(wanted[1])
            if start >= len(site.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        else:
            self.send_response(200)
        if site.etag:
            self.send_header("ETag", site.etag)
        body = site.content[start:]
        if site.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = site.drops > 0
        if cut:
            site.drops -= 1
            body = body[: site.drop_after]
        if not site.chunked:
            self.wfile.write(body)
        else:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) + (b"" if cut else b"0\r\n\r\n"))


@pytest.fixture
def site():
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def file_of(site, **changes):
    fields = {"name": "file.bin", "url": f"{site.base}/file.bin", "sha256": SHA, "bytes": len(CONTENT)} | changes
    return RemoteFile(**fields)


def only_the_file_is_left(folder):
    return sorted(p.name for p in folder.iterdir()) == ["file.bin"]


def test_a_file_arrives_whole_with_progress(site, tmp_path):
    seen = []
    path = download(file_of(site), tmp_path / "new" / "folder", progress=lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == CONTENT
    assert only_the_file_is_left(path.parent)
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [have for have, _ in seen] == sorted(have for have, _ in seen)


def test_a_correct_file_is_not_fetched_again_and_a_wrong_one_is_not_overwritten(site, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    download(file_of(site), tmp_path)
    assert site.asked == []
    for wrong in (b"mine", bytes(len(CONTENT))):
        (tmp_path / "file.bin").write_bytes(wrong)
        with pytest.raises(DataError, match="remove it to fetch it again"):
            download(file_of(site), tmp_path)
        assert (tmp_path / "file.bin").read_bytes() == wrong


def test_a_dropped_connection_is_continued_where_it_ended(site, tmp_path):
    site.drops, site.drop_after = 2, 300_000
    assert download(file_of(site), tmp_path, pause=0).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=300000-", "bytes=600000-"]


def test_a_chunked_answer_that_ends_early_is_not_taken_for_the_whole(site, tmp_path):
    site.chunked, site.drops, site.drop_after = True, 1, 300_000
    assert download(file_of(site, sha256=None, bytes=None), tmp_path, pause=0).read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_a_later_call_goes_on_and_without_range_support_starts_over(site, tmp_path):
    for ranges, asked in ((True, "bytes=300000-"), (False, "bytes=300000-")):
        folder = tmp_path / str(ranges)
        site.ranges, site.drops, site.drop_after = ranges, 1, 300_000
        with pytest.raises(DataError, match=r"300,000 of 1,048,576 bytes.*run it again") as caught:
            download(file_of(site), folder, tries=1)
        assert "file.bin.part" in str(caught.value)
        assert not (folder / "file.bin").exists()
        assert download(file_of(site), folder, tries=1).read_bytes() == CONTENT
        assert site.asked[-1] == asked
        assert only_the_file_is_left(folder)


def test_a_file_that_changed_meanwhile_is_fetched_anew(site, tmp_path):
    site.drops, site.drop_after = 1, 300_000
    wanted = file_of(site, sha256=None, bytes=None)
    with pytest.raises(DataError):
        download(wanted, tmp_path, tries=1)
    site.content, site.etag = CONTENT[::-1], '"v2"'
    assert download(wanted, tmp_path).read_bytes() == CONTENT[::-1]


def test_pieces_are_never_joined_without_a_version_or_a_checksum(site, tmp_path):
    site.etag, site.drops, site.drop_after = None, 1, 300_000
    with pytest.raises(DataError):
        download(file_of(site, sha256=None), tmp_path / "a", tries=1)
    site.content = CONTENT[::-1]
    assert download(file_of(site, sha256=None), tmp_path / "a").read_bytes() == CONTENT[::-1]
    # With a checksum the pieces are joined; when they don't fit, the file is fetched once more from the start.
    site.content, site.drops = CONTENT[::-1], 1
    with pytest.raises(DataError):
        download(file_of(site), tmp_path / "b", tries=1)
    site.content = CONTENT
    assert download(file_of(site), tmp_path / "b").read_bytes() == CONTENT
    assert site.asked[-2:] == ["bytes=300000-", None]


def test_a_complete_part_file_needs_no_more_bytes(site, tmp_path):
    site.drops, site.drop_after = 1, 300_000
    with pytest.raises(DataError):
        download(file_of(site), tmp_path, tries=1)
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert download(file_of(site), tmp_path).read_bytes() == CONTENT
    assert site.asked[-1] == f"bytes={len(CONTENT)}-"


def test_a_wrong_checksum_leaves_nothing_behind(site, tmp_path):
    site.content = bytes(len(CONTENT))
    with pytest.raises(DataError, match=f"expected {SHA}"):
        download(file_of(site), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 0
    site.content = CONTENT
    assert download(file_of(site), tmp_path).read_bytes() == CONTENT


def test_a_wrong_size_is_seen_before_the_download(site, tmp_path):
    with pytest.raises(DataError, match=r"1,048,576 bytes, expected 5"):
        download(file_of(site, bytes=5), tmp_path)


def test_http_errors(site, tmp_path):
    site.statuses = [404]
    with pytest.raises(DataError, match=r"file\.bin: HTTP 404 Not Found.*homepage"):
        download(file_of(site), tmp_path)
    assert len(site.asked) == 1  # not tried again
    site.statuses = [503, 429, 500]
    assert download(file_of(site), tmp_path, pause=0).read_bytes() == CONTENT
    site.statuses = [503] * 9
    with pytest.raises(DataError, match="HTTP 503"):
        download(file_of(site), tmp_path / "b", pause=0, tries=3)
    assert len(site.statuses) == 6


def test_no_server(site, tmp_path):
    site.server_close()
    with pytest.raises(DataError, match="can't be reached"):
        download(file_of(site), tmp_path, tries=2, pause=0)


def test_redirects_stay_on_the_web(site, tmp_path):
    site.redirect = f"{site.base}/elsewhere.bin"
    assert download(file_of(site), tmp_path).read_bytes() == CONTENT
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    for target in (secret.as_uri(), "ftp://127.0.0.1/x"):
        site.redirect = target
        with pytest.raises(DataError, match="redirects to no safe address"):
            download(file_of(site), tmp_path / "b")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "/etc/x", "C:x", "a\x00b", ".bashrc"])
def test_names_with_path_parts_are_refused(site, tmp_path, name):
    with pytest.raises(DataError, match="plain file name"):
        download(file_of(site, name=name), tmp_path)
    assert site.asked == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", "http:///x", "x"])
def test_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(DataError, match="http and https"):
        download(RemoteFile("x", url), tmp_path)


def test_a_folder_that_cannot_be_made(site, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match="can't be written"):
        download(file_of(site), tmp_path / "taken" / "folder")


def test_two_at_once_are_refused(site, tmp_path):
    complaints = []

    def again(have, total):
        try:
            download(file_of(site), tmp_path)
        except DataError as error:
            complaints.append(str(error))

    download(file_of(site), tmp_path, progress=again)
    assert complaints
    assert "another process" in complaints[0]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
