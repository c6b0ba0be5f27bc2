"""A title from a file is text, wherever it is shown."""

import pytest

from cortico.report.words import markdown_text

TITLE = r"<script>alert(1)</script> [x](javascript:1) **b** [red]r[/red] \u001b[31m _e_ W_Q"


def test_titles_are_text(cortico, home):
    (home / "evil.toml").write_text(f'model = 8\nheads = 2\nname = "{TITLE}"\n')
    code, printed, _ = cortico("compile", "evil.toml", "-o", "evil")
    assert code == 0 and "[red]r[/red]" in printed and "\x1b" not in printed
    report = (home / "evil" / "report.md").read_text()
    assert report.startswith(
        "# &lt;script>alert(1)&lt;/script> [x\\](javascript:1) \\*\\*b\\*\\* [red]"
    )
    assert r"\_e\_ W_Q" in report.splitlines()[0]
    for command in (
        ("audit", "evil.toml", "--markdown", "a.md"),
        ("report", "evil.toml", "-o", "a.html"),
        ("draw", "evil.toml", "-o", "a.svg"),
    ):
        assert cortico(*command)[0] == 0
        assert "<script>alert" not in (home / command[-1]).read_text()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("W_Q[h, a, m]", "W_Q[h, a, m]"),
        ("a|b", r"a\|b"),
        ("`c`", r"\`c\`"),
        ("a & b", "a &amp; b"),
        ("a\nb", "a b"),
    ],
)
def test_markdown(text, safe):
    assert markdown_text(text) == safe
