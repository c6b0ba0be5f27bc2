"""Where the marks of a scene are: rectangles of words, segments of wires."""

import itertools

from cortico.pictures.scene import Disc, Scene, Shape, Words


def words_of(scene: Scene):
    return [mark for group in scene.groups for mark in group.marks if isinstance(mark, Words)]


def rectangle(words: Words):
    """Left, top, right, bottom of a text: letters rise by 0.75 of their size and hang by 0.2."""
    x, y = words.left, words.at[1]
    return x, y - 0.75 * words.size, x + words.width, y + 0.2 * words.size


def overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def segments(group):
    """The straight parts of the open lines of a group."""
    lines = (m.points for m in group.marks if isinstance(m, Shape) and m.fill is None)
    return [pair for points in lines for pair in itertools.pairwise(points)]


def bounds(mark):
    if isinstance(mark, Words):
        return rectangle(mark)
    if isinstance(mark, Disc):
        (x, y), r = mark.centre, mark.radius
        return x - r, y - r, x + r, y + r
    xs, ys = zip(*mark.points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def group(scene: Scene, name: str):
    (found,) = (g for g in scene.groups if g.id == name)
    return found
