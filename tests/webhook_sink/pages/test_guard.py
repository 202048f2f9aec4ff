"""Who may see the status page: passwords, cookies, tokens and delays."""

from __future__ import annotations

from webhook_sink.pages.guard import LIFETIME, LONGEST_DELAY, Guard


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_each_wrong_password_makes_its_client_wait_twice_as_long_and_a_right_one_forgets_them() -> None:
    clock = Clock()
    guard = Guard(["right", "other"], clock)
    waits = []
    for _ in range(9):
        assert not guard.admit("wrong", "1.2.3.4")
        waits.append(guard.wait("1.2.3.4"))
        clock.now += waits[-1]
    assert waits == [0.5, 1, 2, 4, 8, 16, LONGEST_DELAY, LONGEST_DELAY, LONGEST_DELAY]
    assert (guard.wait("1.2.3.4"), guard.wait("5.6.7.8")) == (0, 0)
    assert guard.admit("other", "1.2.3.4")
    assert not guard.admit("", "1.2.3.4")
    assert guard.wait("1.2.3.4") == 0.5


def test_cookie_is_good_for_its_time_for_its_passwords_and_until_it_is_left() -> None:
    clock = Clock()
    guard = Guard(["right"], clock)
    visit = guard.begin("member")
    assert Guard(["right"], clock).visit(visit.cookie) == visit, "another process knows it"
    assert Guard(["new"], clock).visit(visit.cookie) is None
    forged = [
        None,
        "",
        "member",
        visit.cookie[:-1],
        visit.cookie.replace("member", "visitor"),
        f"x{visit.cookie}",
        "é.1.2",
    ]
    assert [guard.visit(each) for each in forged] == [None] * len(forged)
    assert guard.is_token(visit, visit.token)
    assert not guard.is_token(visit, guard.begin("member").token)
    clock.now += LIFETIME - 1
    assert guard.visit(visit.cookie) is not None
    clock.now += 2
    assert guard.visit(visit.cookie) is None
    later = guard.begin("visitor")
    assert guard.visit(later.cookie) == later
    guard.leave(later)
    assert guard.visit(later.cookie) is None
