"""Who may look at the page, and who may not."""

from __future__ import annotations

import pytest

from raudo.monitoring.dashboard.guard import Guard, hosts_of

TOKEN = "correct horse battery"
LOOPBACK = hosts_of("127.0.0.1")


def status(guard, query=b"", **headers):
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    refusal = guard.refusal(named, query)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8650", 200),
        ("LocalHost", 200),
        ("localhost.:80", 200),
        ("[::1]:8650", 200),
        ("", 421),
        ("evil.example:8650", 421),  # its name was pointed at the loopback
        ("127.0.0.1.evil.example", 421),
        ("localhost:8650@evil.example", 421),
        ("[::1", 421),
        ("::1", 421),
        ("192.168.0.7", 421),
    ],
)
def test_only_own_names_are_answered(host, expected):
    assert status(Guard(None, LOOPBACK), host=host) == expected


def test_an_address_of_the_loopback_is_its_own_name_and_others_are_not():
    assert "127.0.0.2" in hosts_of("127.0.0.2")
    assert "0.0.0.0" not in hosts_of("0.0.0.0")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "http://localhost:8650"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:9999"}, 403),  # another service of this machine
        ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"}, 200),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 200),  # a link to here
        ({"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}, 200),
    ],
)
def test_pages_of_others_may_not_ask(headers, expected):
    assert status(Guard(None, LOOPBACK), host="localhost:8650", **headers) == expected


def test_a_token_comes_as_bearer_query_or_cookie():
    guard = Guard(TOKEN, None)
    assert status(guard, host="anything") == 401
    assert status(guard, host="a", authorization=f"Bearer {TOKEN}") == 200
    assert status(guard, host="a", authorization=f"bearer  {TOKEN} ") == 200
    assert status(guard, host="a", authorization=f"Basic {TOKEN}") == 401
    assert status(guard, host="a", authorization=f"Bearer {TOKEN[:-1]}") == 401
    assert status(guard, b"token=correct+horse%20battery", host="a") == 200
    assert status(guard, b"token=", host="a") == 401
    assert (
        status(guard, b"&".join([b"a=b"] * 99) + b"&token=correct+horse+battery", host="a") == 401
    )
    cookie = guard.cookie_for(b"token=correct+horse+battery", "/x/", "https").decode()
    assert cookie.endswith("; Path=/x/; HttpOnly; SameSite=Lax; Secure")
    assert TOKEN not in cookie
    assert status(guard, host="a", cookie=f"other=1; {cookie.partition(';')[0]}; more") == 200
    assert status(guard, host="a", cookie=f"{cookie.partition('=')[0]}=0") == 401
    assert guard.cookie_for(b"token=wrong", "/", "http") is None
    assert Guard(None, None).cookie_for(b"token=", "/", "http") is None


def test_cookies_of_two_dashboards_of_one_host_do_not_meet():
    names = {
        Guard(token, None).cookie_for(b"token=" + token.encode(), "/", "http").partition(b"=")[0]
        for token in ("a" * 16, "b" * 16)
    }
    assert len(names) == 2


def test_a_cookie_of_another_token_is_not_accepted():
    other = Guard("b" * 16, None).cookie_for(b"token=" + b"b" * 16, "/", "http").decode()
    assert status(Guard(TOKEN, None), host="a", cookie=other) == 401


@pytest.mark.parametrize("token", ["", "short", "fifteen letters"])
def test_a_short_token_is_refused_and_not_repeated(token):
    with pytest.raises(ValueError, match="16 or more") as caught:
        Guard(token, None)
    assert not token or token not in str(caught.value)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="token is no string"):
        Guard(b"0123456789abcdef", None)
    with pytest.raises(TypeError, match="hosts is 'localhost'"):
        Guard(None, "localhost")
