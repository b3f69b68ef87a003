"""The kinds of evidence that rehearsals make: what each says, what makes it, and the fields of its body."""

from __future__ import annotations

from headwater.evaluate.kinds import EvidenceKind

_TRAFFIC = {
    "model": "the version's label",
    "channel": "whose recorded traffic",
    "champion": "id of the version that the channel pointed to",
    "champion_label": "its label",
    "start": "occurred_at of the oldest row, UTC microseconds",
    "end": "occurred_at of the newest row",
    "not_kept": "recorded rows whose inputs were sampled out or masked, so that they could not be asked again",
    "changes": "what the contract promises otherwise than the champion's, in sentences",
    "sentence": "what was found, in a sentence",
}

REHEARSALS: dict[str, EvidenceKind] = {
    "backtest": EvidenceKind(
        subject="modelversion",
        says="how it answers what a channel was asked, against what was answered then and what turned out to be true",
        operation="serve.backtest",
        command="hw release backtest {0} CHANNEL",
        fields=_TRAFFIC
        | {
            "rows": "rows asked again",
            "refused": "rows that it refuses or fails to answer",
            "problems": "why, the most frequent first [{field, what, rows}]",
            "answered_by": "who answered then [{version, label, rows}]",
            "differences": "per output [{output, changed (share of rows), mean_absolute, largest}]",
            "outcomes": "answered rows whose truth is known",
            "metric": "what was compared on those, '' where nothing could be",
            "value": "the metric of the version; null where not measured",
            "recorded_value": "the metric of what was answered then",
            "gain": "interval of the difference on the same rows; null where not measured",
            "better": "the gain's low end is above 0",
            "worse": "the gain's high end is below 0",
            "level": "the share of bootstrap samples that an interval covers",
            "resamples": "how many samples an interval is made of",
            "seed": "what the samples were drawn with",
        },
    ),
    "consumers": EvidenceKind(
        subject="modelversion",
        says="whether each consumer's recorded calls would be answered in the form that it relies on",
        operation="serve.consumers.replay",
        command="hw release replay {0} CHANNEL",
        fields=_TRAFFIC
        | {
            "consumers": "registered [{name, callers, reads, rows, not_kept, refused, problems: [sentence]}]",
            "undeclared": "callers that nobody registered [{caller, rows, problems: [sentence]}]",
            "passed": "whether no registered consumer has a problem",
        },
    ),
    "budget": EvidenceKind(
        subject="modelversion",
        says="how long it takes to load and to answer, and how much memory, in a fresh process with one thread",
        operation="serve.budget",
        command="hw release budget {0}",
        fields={
            "model": "the version's label",
            "source": "which rows it answered: recorded calls, the contract's example; an API's recorded answers",
            "rows": "how many rows were answered one by one",
            "p50_ms": "median latency of one row, without the network; an API's with the network to it",
            "p99_ms": "99th percentile of it",
            "batch_rows": "rows of a batch; null for an API, as what follows but its size",
            "batch_row_ms": "latency per row in such a batch",
            "load_s": "from the bytes to the first answer",
            "memory_mib": "peak resident memory of the process",
            "grown_mib": "how much of it came with the model",
            "size_mib": "size of its files",
            "machine": "the CPU and how many cores",
            "load_average": "how busy the machine was when it began",
            "sentence": "what was found, in a sentence",
        },
    ),
}  # fmt: skip
