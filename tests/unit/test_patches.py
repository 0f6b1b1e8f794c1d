"""Patches as people have them: diffs, mails, mailboxes, series; each read as it is, in its order."""

import pytest

from harness.errors import UsageError
from harness.kernels.patches import load_patches

MAIL = """From {sha} Mon Sep 17 00:00:00 2001
From: Somebody <somebody@example.org>
Date: Tue, 3 Nov 2026 10:00:00 +0000
Subject: [PATCH {position}] mm, oom: step {step}

From my own tests, this is step {step}. Its text shows a diff:

    --- a/not/a/target
    +++ b/not/a/target

Signed-off-by: Somebody <somebody@example.org>
---
 mm/oom.c | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/mm/oom.c b/mm/oom.c
index 1111111..2222222 100644
--- a/mm/oom.c
+++ b/mm/oom.c
@@ -1,3 +1,3 @@
 one
-{old}
+{new}
 three
-- {blank}
2.39.5

""".replace("{blank}", "")
COVER = """From mboxrd@z Thu Jan  1 00:00:00 1970
From: Somebody <somebody@example.org>
Subject: [PATCH 0/2] mm, oom: two steps

 mm/oom.c | 2 +-
"""
REPLY = """From mboxrd@z Thu Jan  1 00:00:00 1970
From: A Reviewer <reviewer@example.org>
Subject: Re: [PATCH 1/2] mm, oom: step 1

> --- a/mm/oom.c
> +++ b/mm/oom.c
> @@ -1,3 +1,3 @@
Looks good.
"""


def mail(step, old, new, total=2):
    return MAIL.format(sha="a" * 40, position=f"{step}/{total}", step=step, old=old, new=new)


FIRST, SECOND = mail(1, "two", "TWO"), mail(2, "TWO", "2")


def steps(path):
    return [
        line
        for patch in load_patches(str(path), "6.1")
        for line in patch.content.decode().split("\n")
        if line[:1] == "+"
    ]


def test_a_format_patch_mail_is_taken_as_it_is(tmp_path):
    path = tmp_path / "0001-mm-oom-step-1.patch"
    path.write_text(FIRST)
    (patch,) = load_patches(str(path), "6.1")
    assert patch.targets() == ["mm/oom.c"]
    assert patch.name == str(path)


def test_a_mailbox_is_read_in_the_order_of_the_series_without_cover_and_replies(tmp_path):
    path = tmp_path / "v2_series.mbx"
    path.write_text(COVER + SECOND + REPLY + FIRST)
    patches = load_patches(str(path), "6.1")
    assert [patch.name.rsplit("(")[-1] for patch in patches] == [
        "[PATCH 1/2] mm, oom: step 1)",
        "[PATCH 2/2] mm, oom: step 2)",
    ]
    assert steps(path) == ["+++ b/mm/oom.c", "+TWO", "+++ b/mm/oom.c", "+2"]


def test_a_mailbox_with_two_versions_of_a_series_is_refused(tmp_path):
    path = tmp_path / "thread.mbox"
    path.write_text(FIRST + FIRST)
    with pytest.raises(UsageError, match="several versions of a series"):
        load_patches(str(path), "6.1")


def test_a_mail_that_is_encoded_is_decoded(tmp_path):
    path = tmp_path / "fix.eml"
    body = FIRST.split("\n\n", 1)[1].replace("=", "=3D").replace("one\n", "on=\ne\n")
    path.write_text(
        "Received: from x\r\nSubject: =?utf-8?q?[PATCH]_mm?=\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + body.replace("\n", "\r\n"),
        newline="",
    )
    (patch,) = load_patches(str(path), "6.1")
    assert b"\n one\n-two\n+TWO\n three\n" in patch.content


def test_a_series_directory_goes_by_its_series_file_or_by_names(tmp_path):
    (tmp_path / "0000-cover-letter.patch").write_text(COVER)
    (tmp_path / "0001-a.patch").write_text(FIRST)
    (tmp_path / "0002-b.patch").write_text(SECOND)
    (tmp_path / "notes.txt").write_text("no patch")
    assert steps(tmp_path)[1::2] == ["+TWO", "+2"]
    (tmp_path / "series").write_text("# quilt\n0002-b.patch -p1\n\n0001-a.patch # last\n")
    assert steps(tmp_path)[1::2] == ["+2", "+TWO"]
    (tmp_path / "series").write_text("0002-b.patch -p0\n")
    with pytest.raises(UsageError, match=r"asks for -p0 with 0002-b\.patch; only -p1"):
        load_patches(str(tmp_path), "6.1")
    (tmp_path / "series").write_text("gone.patch\n")
    with pytest.raises(UsageError, match=r"cannot read patch .*gone\.patch: No such file"):
        load_patches(str(tmp_path), "6.1")


def test_what_holds_no_patch_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no patch"):
        load_patches(f"{tmp_path}/", "6.1")
    (tmp_path / "cover.mbox").write_text(COVER)
    with pytest.raises(UsageError, match="is not a unified diff"):
        load_patches(str(tmp_path / "cover.mbox"), "6.1")
    (tmp_path / "cut.patch").write_text(FIRST.split(" three")[0])
    with pytest.raises(UsageError, match=r"cut\.patch is damaged"):
        load_patches(str(tmp_path / "cut.patch"), "6.1")


def test_a_line_that_looks_like_a_header_inside_a_hunk_is_no_target(tmp_path):
    path = tmp_path / "lua.patch"
    path.write_text("--- a/t.lua\n+++ b/t.lua\n@@ -1,2 +1,2 @@\n--- a/old comment\n+++ b/new comment\n x\n")
    (patch,) = load_patches(str(path), "6.1")
    assert patch.targets() == ["t.lua"]
