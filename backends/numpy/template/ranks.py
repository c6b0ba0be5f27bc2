"""What MPI ranks share."""

import numpy as np


def rank_of(comm):
    """The number of this rank, and how many there are; one without a communicator."""
    return (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())


def expect_areas(packed, own):
    """Refuse weights that are packed for other areas than this rank's `own`."""
    if packed != own:
        raise ValueError(
            f"weights are packed for areas {packed}, this rank has {own}: pack(weights, dtype, rank, ranks)"
        )


def share(rank, ranks, areas, tokens=None, power=1.0):
    """Two slices: the areas of this rank, and of these its query tokens.

    Ranks that are more than areas form teams: a team has one area, and shares its tokens. Where tokens
    cannot be shared (None), some ranks have no area. See `cut` for `power`.
    """
    teams = ranks if tokens is None else min(areas, ranks)
    team = rank * teams // ranks
    first, last = (-(-k * ranks // teams) for k in (team, team + 1))  # ranks of the team
    return cut(areas, team, teams), cut(tokens or 0, rank - first, last - first, power)


def cut(length, part, parts, power=1.0):
    """One of so many parts of a length: equal, or for 0.5 of equal work when token i hears i others."""
    return slice(*(round(length * (k / parts) ** power) for k in (part, part + 1)))


def sum_of_ranks(part, comm, axis=0, own=slice(None), tokens=None):
    """The sum of what all ranks have: areas of their own, and `own` of all `tokens` along `axis`.

    This is the one time that ranks meet.
    """
    if comm is None:
        return part
    shape = list(part.shape)
    if tokens is not None:
        shape[axis] = tokens
    whole, total = np.zeros(shape, part.dtype), np.empty(shape, part.dtype)
    np.moveaxis(whole, axis, 0)[own] = np.moveaxis(part, axis, 0)
    comm.Allreduce(whole, total)
    return total
