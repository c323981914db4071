"""Publications: names by content, what is sent again, and what faults leave behind."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import pickle
import runpy
import threading
from pathlib import Path

import pytest

from raudo.cli import main
from raudo.errors import ExportError, PurgeFailed
from raudo.export.sinks import s3
from raudo.integrations import _publishing
from raudo.integrations.http_purge import HttpPurge
from raudo.integrations.objectstore import Purge, publish

TEXT = "// some lines of code that repeat\n" * 100


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "img").mkdir(parents=True)
    (folder / "app.js").write_text(TEXT)
    (folder / "img" / "logo.png").write_bytes(b"\x89PNG" + bytes(3000))
    (folder / "LICENSE").write_text("free")
    (folder / ".env").write_text("SECRET=1")
    return folder


@pytest.fixture
def place(object_store, request):
    """A folder of the store, and how it is published to."""

    class Place:
        name = f"site-{abs(hash(request.node.nodeid)):x}"
        url = object_store.url(name)
        store = object_store

        def publish(self, paths, **options):
            return publish(paths, self.url, storage_options=object_store.options, **options)

        def manifest(self):
            return json.loads(object_store.system.cat_file(f"bucket/{self.name}/manifest.json"))

        def read(self, file):
            return object_store.system.cat_file(f"bucket/{self.name}/{file.object}")

        def head(self, name):
            return object_store.head(f"{self.name}/{name}")

        def names(self):
            return object_store.names(self.name)

    return Place()


@pytest.mark.slow
def test_objects_have_names_of_their_content_and_headers_for_ever(place, site):
    done = place.publish(site, keys=["site", "v1"])
    assert list(done.files) == ["LICENSE", "app.js", "img/logo.png"], "and no hidden ones"
    app = done.files["app.js"]
    assert app.object.startswith("app.")
    assert app.object.endswith(".js")
    assert done.files["img/logo.png"].object.startswith("img/logo.")
    assert app.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    head = place.head(app.object)
    assert head["CacheControl"] == "public, max-age=31536000, immutable"
    assert head["ContentType"] == "text/javascript; charset=utf-8"
    assert head["ContentEncoding"] == "gzip"
    assert head["Metadata"] == {"surrogate-key": "site v1"}
    assert head["ContentLength"] == app.bytes < len(TEXT)
    assert gzip.decompress(place.read(app)) == TEXT.encode()
    image = place.head(done.files["img/logo.png"].object)
    assert image["ContentType"] == "image/png"
    assert "ContentEncoding" not in image
    manifest = place.head("manifest.json")
    assert manifest["CacheControl"] == "public, max-age=60, must-revalidate"
    assert manifest["ContentType"] == "application/json"
    listed = place.manifest()["files"]
    assert {name: each["object"] for name, each in listed.items()} == {
        name: each.object for name, each in done.files.items()
    }
    assert set(place.names()) == {*(each.object for each in done.files.values()), "manifest.json"}


@pytest.mark.slow
def test_only_what_changed_is_sent_again(place, site):
    asked: list[Purge] = []
    options = {"keys": lambda name: [name.partition("/")[0]], "purge": asked.append}
    first = place.publish(site, **options)
    assert len(first.uploaded) == 3
    assert asked.pop() == Purge(("manifest.json",), ("LICENSE", "app.js", "img"))
    stamp = place.head("manifest.json")["LastModified"]
    again = place.publish(site, **options)
    assert (again.uploaded, again.bytes_sent, again.purge, asked) == ((), 0, None, [])
    assert again.files == first.files
    assert place.head("manifest.json")["LastModified"] == stamp
    (site / "app.js").write_text(TEXT + "changed")
    (site / "LICENSE").unlink()
    third = place.publish(site, **options)
    assert third.uploaded == ("app.js",)
    assert asked.pop() == Purge(("manifest.json",), ("LICENSE", "app.js"))
    assert first.files["app.js"].object in place.names(), "pages of yesterday may ask for it"


@pytest.mark.slow
def test_what_is_gone_or_cut_off_is_sent_again(place, site):
    done = place.publish(site)
    image, app = done.files["img/logo.png"], done.files["app.js"]
    store = place.store.system
    store.pipe_file(f"bucket/{place.name}/{image.object}", b"half")
    store.pipe_file(f"bucket/{place.name}/{app.object}", b"half")
    store.rm_file(f"bucket/{place.name}/{done.files['LICENSE'].object}")
    again = place.publish(site)
    assert set(again.uploaded) == {"LICENSE", "app.js", "img/logo.png"}
    assert len(place.read(image)) == 3004
    store.pipe_file(f"bucket/{place.name}/manifest.json", b"[no manifest of ours")
    third = place.publish(site)
    assert third.uploaded == ()
    assert set(place.manifest()["files"]) == set(done.files)


@pytest.mark.slow
def test_a_server_that_dies_leaves_the_old_publication(place, site, monkeypatch):
    done = place.publish(site)
    before = place.manifest()
    (site / "app.js").write_text(TEXT + "changed")
    (site / "video.mp4").write_bytes(bytes(3 * s3.PART_BYTES))
    send = s3._Upload._send

    def cut_at_the_second_part(self, part):
        if self._n_sent == 1:
            place.store.proxy.cut()
        send(self, part)

    monkeypatch.setattr(s3._Upload, "_send", cut_at_the_second_part)
    try:
        with pytest.raises(ExportError, match="video") as caught:
            place.publish(site, n_jobs=1)
    finally:
        place.store.proxy.mend()
    assert caught.value.filename.startswith(f"{place.url}/video.")
    assert place.manifest() == before
    assert all(place.read(each) for each in done.files.values())
    assert not any(name.startswith("video") for name in place.names())
    monkeypatch.undo()
    place.store.system.clear_multipart_uploads("bucket")
    again = place.publish(site)
    assert again.uploaded == ("video.mp4",), "app.js was there already"
    assert place.read(again.files["video.mp4"]) == bytes(3 * s3.PART_BYTES)


def change_after_naming(monkeypatch, path, times):
    """Have a file change between being named and being sent, that often."""
    named, left = _publishing.Job._named, [times]

    def change(self):
        found = named(self)
        if self.path == path and left[0]:
            left[0] -= 1
            path.write_text(f"{TEXT} version {left[0]}")
        return found

    monkeypatch.setattr(_publishing.Job, "_named", change)


@pytest.mark.slow
def test_a_file_that_changes_meanwhile_gets_the_name_of_what_was_sent(place, site, monkeypatch):
    change_after_naming(monkeypatch, site / "app.js", 2)
    done = place.publish(site)
    sent = gzip.decompress(place.read(done.files["app.js"]))
    assert sent.decode() == f"{TEXT} version 0"
    assert done.files["app.js"].sha256 == hashlib.sha256(sent).hexdigest()
    assert len(place.names()) == 4, "and nothing else was sent"


def test_a_file_that_keeps_changing_is_refused(tmp_path, site, monkeypatch):
    change_after_naming(monkeypatch, site / "app.js", -1)
    with pytest.raises(ExportError, match="changes while it is published"):
        publish(site, str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("app.*"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_folder_or_another_file_system_does_too(tmp_path, site):
    urls = (f"memory://{tmp_path.name}/out", str(tmp_path / "out"))
    for url in urls:
        done = publish([site / "app.js", site / "img"], url)
        assert list(done.files) == ["app.js", "logo.png"]
        assert done.files["app.js"].encoding is None, "nobody would say that it is packed"
        assert publish([site / "app.js", site / "img"], url).uploaded == ()
        packed = publish(site / "app.js", url, encoding="gzip").files["app.js"]
        assert packed.object != done.files["app.js"].object
    stored = Path(tmp_path, "out", packed.object).read_bytes()
    assert gzip.decompress(stored).decode() == TEXT


def test_two_publishers_at_once_leave_one_whole_publication(tmp_path, site):
    def run(version):
        folder = tmp_path / f"site{version}"
        folder.mkdir()
        for i in range(20):
            (folder / f"{i}.js").write_text(f"{version if i % 2 else 0} {i}")
        publish(folder, str(tmp_path / "out"), n_jobs=4)

    threads = [threading.Thread(target=run, args=(version,)) for version in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    files = json.loads((tmp_path / "out" / "manifest.json").read_text())["files"]
    texts = [(tmp_path / "out" / each["object"]).read_text() for each in files.values()]
    assert len({text.split()[0] for text in texts} - {"0"}) <= 1
    assert len(texts) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoding": "br"}, "encoding is 'br'"),
        ({"max_age": -1}, "max_age is -1"),
        ({"manifest": "app.js"}, "named 'app.js', as the manifest"),
        ({"keys": ["a b"]}, "keys has 'a b'"),
        ({"keys": lambda name: ["ü"]}, "keys has 'ü'"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, site, arguments, message):
    with pytest.raises(ValueError, match=message):
        publish(site, str(tmp_path / "out"), **arguments)
    assert not (tmp_path / "out").exists()


def test_wrong_paths_are_named(tmp_path, site):
    with pytest.raises(ValueError, match=r"are both named 'app\.js'"):
        publish([site, site / "app.js"], str(tmp_path / "out"))
    with pytest.raises(ValueError, match="paths has no file"):
        publish([], str(tmp_path / "out"))
    with pytest.raises(ExportError, match="missing"):
        publish(tmp_path / "missing.js", str(tmp_path / "out"))
    with pytest.raises(TypeError, match="keys is the text"):
        publish(site, str(tmp_path / "out"), keys="site")


# --- purges -----------------------------------------------------------------------------------


@pytest.fixture
def cache():
    """A cache in front, which answers as it is told to (200) and keeps what it was asked."""
    asked, answers = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PURGE(self):
            asked.append((self.command, self.path, dict(self.headers)))
            self.send_response(answers.pop(0) if answers else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PURGE  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.asked, server.answers = asked, answers
        server.url = f"http://127.0.0.1:{server.server_port}/assets"
        yield server
        server.shutdown()
        thread.join()


def test_a_purge_names_the_manifest_and_the_keys(tmp_path, site, cache):
    purge = HttpPurge(f"{cache.url}/", headers={"Fastly-Key": "secret"})
    publish(site, str(tmp_path / "out"), manifest="the list.json", keys=["b", "a"], purge=purge)
    (method, path, headers), (_, of_keys, more) = cache.asked
    assert (method, path, headers["Fastly-Key"]) == ("PURGE", "/assets/the%20list.json", "secret")
    assert (of_keys, more["Surrogate-Key"]) == ("/assets", "a b")
    assert "secret" not in repr(purge)


def test_many_keys_go_in_several_requests_where_they_are_wanted(cache):
    keys_url = cache.url.replace("assets", "service/1/purge")
    purge = HttpPurge(cache.url, keys_url=keys_url, keys_method="POST")
    purge(Purge((), tuple(f"k{i}" for i in range(600))))
    assert [(method, path) for method, path, _ in cache.asked] == [("POST", "/service/1/purge")] * 3
    assert sum(len(headers["Surrogate-Key"].split()) for *_, headers in cache.asked) == 600


def test_a_cache_that_is_busy_is_asked_again(cache):
    cache.answers += [503, 429]
    HttpPurge(cache.url, backoff=0.001)(Purge(("manifest.json",), ()))
    assert len(cache.asked) == 3
    cache.answers += [404]
    HttpPurge(cache.url, retries=0)(Purge(("manifest.json",), ()))


@pytest.mark.parametrize("answer", [403, 302, 500])
def test_a_purge_that_fails_says_so_and_can_be_repeated(tmp_path, site, cache, answer):
    purge = HttpPurge(cache.url, retries=1, backoff=0.001)
    cache.answers += [answer] * 2
    with pytest.raises(PurgeFailed, match=f"published, but not purged: .*HTTP {answer}") as caught:
        publish(site, str(tmp_path / "out"), purge=purge)
    assert len(cache.asked) == (2 if answer == 500 else 1), "no redirect is followed"
    assert (tmp_path / "out" / "manifest.json").exists()
    published = pickle.loads(pickle.dumps(caught.value)).published
    assert list(published.files) == ["LICENSE", "app.js", "img/logo.png"]
    cache.answers.clear()
    purge(published.purge)


def test_a_cache_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"PURGE http://127.0.0.1:9/manifest.json: "):
        HttpPurge("http://127.0.0.1:9", retries=1, backoff=0)(Purge(("manifest.json",), ()))
    with pytest.raises(ValueError, match="url is 'ftp://x'"):
        HttpPurge("ftp://x")


# --- the command ------------------------------------------------------------------------------


def test_the_command_publishes_and_purges(tmp_path, site, cache, capsys):
    headers = tmp_path / "headers"
    headers.write_text("Authorization: token\n")
    out = str(tmp_path / "out")
    arguments = ["--key", "site", "--purge", cache.url, "--purge-headers", str(headers)]
    assert main(["publish", str(site), out, *arguments]) == 0
    assert "3 files, 3 sent" in capsys.readouterr().out
    assert cache.asked[0][2]["Authorization"] == "token"
    assert main(["publish", str(site), out, "--json", *arguments]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["uploaded"], len(said["files"]), len(cache.asked)) == ([], 3, 2)
    assert main(["publish", str(tmp_path / "missing"), out]) == 1
    assert "missing" in capsys.readouterr().err
    assert main(["publish", str(site), out, "--manifest", "app.js"]) == 2


# --- the example ------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_example_runs(object_store, capsys):
    example = Path(__file__).resolve().parents[2] / "examples" / "publish_s3.py"
    runpy.run_path(str(example))["main"](object_store.endpoint)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["caches are to forget manifest.json css js", "sent app.js style.css"]
    assert lines[3:5] == ["caches are to forget manifest.json js", "sent app.js"]
    assert lines[2] != lines[5]
