r"""The derivation that a circuit computes attention, as a LaTeX document for a referee.

`derivation` writes an article that needs amsmath only. It compares the normal forms itself, and says
so where they are not equal: nothing is printed as proved that was not found equal while writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from cortico.ir import Circuit, Population
from cortico.spec import AttentionSpec, Kernel
from cortico.verify.equations.closed_forms import closed_forms, trained
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.language import Definition, Equations, Read, reads
from cortico.verify.equations.meaning import circuit_equations, rate_of
from cortico.verify.equations.reference import reference
from cortico.verify.equations.sorts import unified
from cortico.verify.known import Known
from cortico.verify.latex.notation import (
    display,
    escaped,
    indices_text,
    inline,
    tensor_name,
)
from cortico.verify.normal.algebra import Algebra, Assumptions
from cortico.verify.normal.equivalence import UNDECIDABLE, Outcome, compare
from cortico.verify.normal.form import NormalForm
from cortico.verify.normal.spelling import normal_form_expression

_PREAMBLE = r"""\documentclass[a4paper]{article}
\usepackage{amsmath}
\setlength{\textwidth}{16cm}
\setlength{\oddsidemargin}{0cm}
\setlength{\textheight}{24cm}
\setlength{\topmargin}{-1.5cm}
\setlength{\emergencystretch}{3em}
\allowdisplaybreaks
"""

#: What each equation of the textbook says.
_SENTENCES: Mapping[str, str] = {
    "query": "Every token asks with a query,",
    "key": "every source token answers with a key",
    "value": "and offers a value.",
    "query_rms": "Queries are divided by the root of the mean of their squares,",
    "key_rms": "and so are keys.",
    "turned_query": "Queries are turned by their position,",
    "turned_key": "and so are keys.",
    "uncapped": "A query meets each key.",
    "score": "A query is scored against each key.",
    "extra_score": "It is scored against the key of the extra source token, too.",
    "weight": "Scores become positive weights, zero where the query may not look.",
    "normaliser": "The weights of a query are added up.",
    "mask": "The attention mask says how much of each source token a query takes.",
    "extra_mask": "So much does it take of the extra source token.",
    "head": "Each head averages values under its mask.",
    "y": "The heads are joined.",
    "delta": "What each head should add to its result:",
    "g": "How each entry of the mask should change:",
    "extra_g": "The same for the extra source token.",
    "mean": "Its mean under the mask, which a softmax takes away:",
    "z": "How each score should change:",
    "extra_z": "The same for the extra source token.",
    "turned.d_query": "Queries as they meet keys,",
    "turned.d_key": "keys as they meet queries,",
    "normed.d_query": "queries before any rotation,",
    "normed.d_key": "keys before any rotation,",
    "d_query": "queries as the map gives them,",
    "d_key": "keys as the map gives them,",
    "d_value": "and values:",
}

#: The rules of `algebra.py` and `functions.py`: the identity, and why it is true.
_RULES: tuple[tuple[str, str], ...] = (
    (
        r"Products are distributed over sums, and factors in front of $\sum_k$ taken into it; the "
        r"names and the order of bound indices do not matter.",
        "Sums are finite; real numbers commute, associate and distribute.",
    ),
    (
        r"$\sum_k s = \lvert k\rvert\, s$ when $s$ does not depend on $k$.",
        r"$\lvert k\rvert$ equal terms are added.",
    ),
    (
        r"$\exp(s + t) = \exp(s) \exp(t)$, $\exp(c\,t) = \exp(t)^{c}$, $\exp(t)^{a} \exp(t)^{b} = "
        r"\exp(t)^{a+b}$ for rational $a, b, c$.",
        "Laws of the exponential. What is constant along a row of a softmax so leaves the sum over "
        "the row and cancels: no other rule is needed for shift invariance.",
    ),
    (
        r"$P^2 = P$ for masks and comparisons, which are 0 or 1; "
        r"$[i - j \le a]\,[i - j \le b] = [i - j \le \min(a, b)]$; "
        r"$[i - j \le a]\,[j - i \le b] = 0$ if $a + b < 0$; $[i - i \le a]$ is 1 if $a \ge 0$, else 0.",
        "Both sides are 0 or 1, and agree in each case.",
    ),
    (r"$\exp(P\,t) = 1 - P + P \exp(t)$ for $P$ that is 0 or 1.", "Put $P = 0$ and $P = 1$."),
    (
        r"$\frac{1}{s\,t} = \frac1s\,\frac1t$, also when $s$ or $t$ is 0. So what all terms of a "
        "divisor have in common leaves it, and sums that share no index are divided by one by one.",
        r"With $\frac10 = 0$: if $s = 0$ or $t = 0$, both sides are 0.",
    ),
    (
        r"$\frac{1}{\exp(t)} = \exp(-t)$; $\frac1P = P$ for $P$ that is 0 or 1; "
        r"$1 \big/ \frac1s = s$.",
        r"An exponential is never 0; $\frac10 = 0$ and $\frac11 = 1$; for $s = 0$ both sides are 0.",
    ),
    (
        r"$s\,\frac1s = [s \ne 0]$ and $[s \ne 0]\,\frac1s = \frac1s$. With $s = \ell + r$ a term "
        r"$\ell\,\frac1s$ becomes $[s \ne 0] - r\,\frac1s$.",
        r"With $\frac10 = 0$: for $s = 0$ all are 0. The choice of $\ell$ is the same for equal $s$. "
        "So the rows of a softmax are found to add up to one.",
    ),
    (
        r"$[s \ne 0] = 1$ when no term of $s$ is ever negative and one is a product of exponentials, "
        r"or a sum of these over $j$ under comparisons of $j$ and $i$ that all hold at $j = i$.",
        "Then $s > 0$: a query that sees its own token has a positive normaliser.",
    ),
    (
        r"$\mathrm{relu}(-t) = \mathrm{relu}(t) - t$, $\mathrm{relu}(c\,t) = c\,\mathrm{relu}(t)$ for "
        r"$c > 0$, $\mathrm{relu}(t) = t$ for $t \ge 0$, $\tanh(-t) = -\tanh(t)$.",
        r"$\mathrm{relu}(t) = \max(t, 0)$; $\tanh$ is odd.",
    ),
    (
        r"$\varphi(P\,t) = P\,\varphi(t)$ for $P$ that is 0 or 1 and $\varphi(0) = 0$, which also "
        r"$\varphi(t) = \frac1t$ fulfils.",
        "Put $P = 0$ and $P = 1$.",
    ),
    (
        "Functions that no rule takes apart are equal when their arguments have the same normal form.",
        "Equal arguments have equal values. The converse is not needed.",
    ),
)


def derivation(spec: AttentionSpec, circuit: Circuit, claims: Iterable[Any] = ()) -> str:
    """A complete LaTeX document: claims, equations of both sides, normal form, gradients, conditions.

    `claims` have the attributes `claim`, `verdict` and `given` (a text or several).
    """
    return _Document(spec, circuit, tuple(claims)).text()


class _Document:
    def __init__(self, spec: AttentionSpec, circuit: Circuit, claims: Sequence[Any]) -> None:
        self.spec, self.circuit, self.claims = spec, circuit, claims
        self.textbook, self.meaning = unified(reference(spec), circuit_equations(circuit))
        self.outputs = _compared(self.textbook, self.meaning)
        self.backward, self.slopes = self._gradients()

    def _gradients(self) -> tuple[Equations, list[Outcome] | None]:
        closed = closed_forms(self.spec)
        read = {r.tensor for each in self.meaning.definitions for r in reads(each.body)}
        wanted = [name for name in trained(self.spec) if name in read]
        if set(self.meaning.outputs) != {"y"} or not wanted:
            return closed, None
        try:
            mine = gradients(circuit_equations(self.circuit), wanted)
        except NotImplementedError:
            return closed, None
        left, right = unified(closed, mine)
        return left, _compared(left, right)

    # ---- the parts -------------------------------------------------------------------------------

    def text(self) -> str:
        parts = [self.claimed(), self.notation(), self.of_textbook(), self.of_circuit()]
        parts += [self.normal_form(), self.of_gradients(), self.conditions(), self.table()]
        title = f"{_PREAMBLE}\\title{{Attention as a circuit: {escaped(self.spec.name)}}}\n"
        body = "\n\n".join(part for part in parts if part)
        return (
            f"{title}\\date{{}}\n\\begin{{document}}\n\\maketitle\n\n{body}\n\n\\end{{document}}\n"
        )

    def claimed(self) -> str:
        """What the document says, no more than what was found."""
        kernel = "softmax" if self.spec.kernel is Kernel.SOFTMAX else "linear"
        return (
            "\\section{What is claimed}\n"
            f"The claim is that the circuit \\emph{{{escaped(self.circuit.name)}}} computes multihead "
            f"attention with the {kernel} kernel as the textbook writes it, for every number of "
            "tokens, heads and features, for all inputs and all parameters; and that its gradients "
            "are the closed forms of calculus. Both sides are brought to one normal form. "
            f"{_verdict(self.outputs, 'outputs')} {self._gradient_verdict()}\n\n"
            "All sizes are symbols: nothing below depends on a number of neurons. Numbers are real; "
            "nothing is said of rounding. Division is the circuit's: $x / 0 = 0$ for every $x$."
        )

    def _gradient_verdict(self) -> str:
        if self.slopes is None:
            return "Its gradients were not compared."
        return _verdict(self.slopes, "gradients of the outputs")

    def notation(self) -> str:
        """How equations are read, and what is given."""
        rows = []
        for name, sorts in self.textbook.given.items():
            note = ", entries 0 or 1" if name in self.textbook.masks else ""
            sides = escaped(", ".join(sorts))
            rows.append(rf"\item ${tensor_name(name)}$: {sides}{note}")
        turned = (
            r" $\mathcal{R}_{t p} = \bigl(\begin{smallmatrix}\cos t\theta_p & -\sin t\theta_p\\ "
            r"\sin t\theta_p & \cos t\theta_p\end{smallmatrix}\bigr)$ with the frequencies $\theta$."
        )
        return (
            "\\section{Notation}\n"
            r"A sum $\sum_j$ reaches over all factors behind it and runs through the whole range of "
            r"$j$. A comparison $[j - i \le a]$ is 1 where it holds, else 0. "
            r"$\lvert\text{features}\rvert$ is the size of a range. Tensors of the textbook are "
            r"upright or single letters, rates of the circuit's populations \textsf{sans serif}. "
            "Indices of one range that need another name have primes."
            + (turned if self.spec.rotary else "")
            + " Given are, with the ranges of their sides:\n\\begin{itemize}\\setlength{\\itemsep}{0pt}\n"
            + "\n".join(rows)
            + "\n\\end{itemize}"
        )

    def of_textbook(self) -> str:
        """Every equation with a sentence."""
        cited = "Vaswani et al., arXiv 1706.03762"
        if self.spec.kernel is Kernel.LINEAR:
            cited = "Granier and Senn, arXiv 2504.06354"
        return f"\\section{{The textbook}}\nAttention after {cited}.\n" + _told(
            self.textbook.definitions
        )

    def of_circuit(self) -> str:
        """Every population's rate, by region."""
        lines = [
            "\\section{The circuit}\nThe rate of a population is $\\varphi$ of the product of the "
            "currents of its multiplying compartments, divided by those of its dividing ones. A "
            "current is the sum of the compartment's drive and its synapses' weighted rates."
        ]
        regions = list(dict.fromkeys(population.region for population in self.circuit.order))
        by_region = sorted(self.circuit.order, key=lambda p: regions.index(p.region))
        for region, populations in groupby(by_region, key=lambda p: p.region.value):
            place = region.replace(".", ", ").replace("_", " ")
            lines.append(f"\\subsection*{{{escaped(place)}}}")
            lines += map(self._population, populations)
        ends = [self.meaning.definition(output) for output in self.meaning.outputs]
        return "\n".join([*lines, "\\subsection*{Outputs}", *map(display, ends)])

    def _population(self, population: Population) -> str:
        words = population.cell_class.value.split("_")
        cells = " ".join(word.upper() if len(word) <= 3 else word for word in words)
        definition = self.meaning.definition(rate_of(population.name))
        each = f", one per ${indices_text(definition.indices)}$" if definition.indices else ""
        name = tensor_name(definition.tensor)
        return f"\\noindent ${name}$: {cells} cells{each}.\n{display(definition)}"

    def normal_form(self) -> str:
        """The rules, and what both sides become by them."""
        rules = "\n".join(f"\\item {rule} \\emph{{{why}}}" for rule, why in _RULES)
        return (
            "\\section{The normal form}\n"
            "Definitions are put into each other, and the following rules are used until none "
            "applies. Each holds for all real numbers.\n"
            f"\\begin{{enumerate}}\n{rules}\n\\end{{enumerate}}\n"
            f"{_verdict(self.outputs, 'outputs')} The normal form of the textbook is\n"
            + "\n".join(display(_normal_form(self.textbook, y)) for y in self.textbook.outputs)
        )

    def of_gradients(self) -> str:
        """The closed forms, and which gradients of the circuit have their normal form."""
        known = {each.tensor for each in self.textbook.definitions}
        own = [each for each in self.backward.definitions if each.tensor not in known]
        at = self.textbook.definition("y").indices
        error = inline(Read("error", at))
        return (
            "\\section{Gradients}\n"
            f"Let $L$ be a loss and {error} $= \\partial L / \\partial y_{{{indices_text(at)}}}$; for "
            r"$L = \tfrac12 \sum (y - t)^2$ it is $y - t$. $\partial T$ is the derivative of $L$ by "
            "$T$. In closed form:\n" + _told(own) + "\n\n" + self._of_circuit_too()
        )

    def _of_circuit_too(self) -> str:
        if self.slopes is None:
            return "The gradients of the circuit were not compared with these."
        rows = [
            f"${tensor_name(each.output)}$ & {each.terms} & {each.verdict.value} \\\\"
            for each in self.slopes
        ]
        return (
            "\\noindent Going backwards through the equations of the circuit, each reading of a "
            r"tensor adds $\partial T_{a} \mathrel{+}= \sum \partial U_{u}\, \partial U_{u} / \partial "
            r"T_{a}$. "
            + _verdict(self.slopes, "gradients")
            + " With the number of terms, none for a gradient that is zero:\n\n"
            "\\begin{center}\\begin{tabular}{lrl}\n"
            "gradient & terms & verdict \\\\ \\hline\n"
            + "\n".join(rows)
            + "\n\\end{tabular}\\end{center}"
        )

    def conditions(self) -> str:
        """What is taken for granted."""
        masked = [f"${tensor_name(name)}$" for name in sorted(self.textbook.masks)]
        items = [
            "All sizes are positive whole numbers, all tensors hold real numbers.",
            "$x / 0 = 0$, in the circuit and in the textbook: a query without any source token gives "
            "zero, where the usual softmax is not defined. Where no divisor is 0, this is division "
            "as usual.",
            *[f"{each} is 0 or 1 everywhere." for each in masked],
            "Numbers in gains are the decimals that they print as.",
            r"The derivative of $1/x$ at 0 is taken as 0, that of $\mathrm{relu}$ as well: gradients "
            "are those of calculus where no divisor is 0.",
            "Gradients are those of given tensors; frequencies of rotations are constants.",
        ]
        body = "\n".join(f"\\item {item}" for item in items)
        return f"\\section{{Side conditions}}\n\\begin{{itemize}}\n{body}\n\\end{{itemize}}"

    def table(self) -> str:
        """The claims that were handed in; tables of 25 rows, so that each fits on a page."""
        if not self.claims:
            return ""
        rows = list(map(_claim_row, self.claims))
        tables = [rows[start : start + 25] for start in range(0, len(rows), 25)]
        return "\\section{All claims}\n" + "\n\n".join(map(_claims_table, tables))


def _compared(left: Equations, right: Equations) -> list[Outcome]:
    """The verdict on each output of `left`.

    A tensor that only the right side is given was made by a pass that computes with numbers: the
    equations do not say of what, so nothing follows from them.
    """
    own = sorted(set(right.given) - set(left.given))
    if own:
        reason = f"only the circuit is given {', '.join(own)}, made of numbers by a pass"
        return [Outcome(each, Known.UNDECIDED, reason, 0.0) for each in left.outputs]
    return compare(left, right)


def _normal_form(equations: Equations, tensor: str) -> Definition:
    """A defined tensor in normal form; its own equation where none is reached."""
    form = NormalForm(Algebra(Assumptions(equations.masks)), equations)
    definition = equations.definition(tensor)
    try:
        return replace(definition, body=normal_form_expression(form, tensor))
    except UNDECIDABLE:
        return definition


def _verdict(outcomes: Sequence[Outcome], what: str) -> str:
    """Sentences on what was found, in the words of verdicts."""
    sentences = []
    for (verdict, reason), alike in groupby(outcomes, key=lambda each: (each.verdict, each.reason)):
        names = ", ".join(f"${tensor_name(each.output)}$" for each in alike)
        heading = f"\\textbf{{{escaped(verdict.value.capitalize())}:}}"
        if verdict is Known.PROVED:
            sentences.append(
                f"{heading} both sides have the same normal form of these {what}: {names}."
            )
        else:
            sentences.append(f"{heading} {names}; {escaped(reason)}.")
    return " ".join(sentences) or f"No {what} were compared."


def _told(definitions: Iterable[Definition]) -> str:
    """Equations with what they say; those in a row that need no words share a display."""
    parts = []
    for sentence, alike in groupby(definitions, key=lambda d: _SENTENCES.get(d.tensor, "")):
        shown = display(*alike)
        parts.append(f"\\noindent {sentence}\n{shown}" if sentence else shown)
    return "\n".join(parts)


def _claim_row(claim: Any) -> str:
    given = claim.given if isinstance(claim.given, str) else "; ".join(map(str, claim.given or ()))
    cells = (str(claim.claim), str(claim.verdict), given)
    return " & ".join(map(escaped, cells)) + r" \\"


def _claims_table(rows: Sequence[str]) -> str:
    columns = r"p{6.4cm}p{2.2cm}p{5.3cm}"
    head = r"claim & verdict & given \\ \hline"
    body = "\n".join(rows)
    return f"\\noindent\\begin{{tabular}}{{{columns}}}\n{head}\n{body}\n\\end{{tabular}}"
