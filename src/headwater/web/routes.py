"""Every page's address."""

from __future__ import annotations

from starlette.routing import Route

from .pages import data, models, monitoring, overview, runs, serving, sign_in, sources, trace

PAGES = [
    Route("/", overview.show),
    Route("/data", data.list_page),
    Route("/data/{dataset}", data.dataset_page),
    Route("/data/{dataset}/diff", data.diff_page),
    Route("/data/{dataset}/usage", data.usage_page),
    Route("/data/{dataset}/{version}", data.version_page),
    Route("/sources", sources.list_page),
    Route("/sources/{source}", sources.source_page),
    Route("/sources/{source}/pull", sources.pull_form, methods=["POST"]),
    Route("/runs", runs.list_page),
    Route("/runs/compare", runs.compare_page),
    Route("/runs/{run}", runs.run_page),
    Route("/models", models.list_page),
    Route("/models/{model}", models.model_page),
    Route("/models/{model}/{version}", models.version_page),
    Route("/models/{model}/{version}/request", models.request_release_form, methods=["POST"]),
    Route("/releases", models.releases_page),
    Route("/releases/{request}", models.request_page),
    Route("/releases/{request}/decide", models.decide_form, methods=["POST"]),
    Route("/models/{model}/rollback/{channel}", models.rollback_form, methods=["POST"]),
    Route("/serving", serving.show),
    Route("/serving/{prediction}", serving.prediction_page),
    Route("/monitoring", monitoring.show),
    Route("/monitoring/alarms/{alarm}", monitoring.alarm_page),
    Route("/monitoring/alarms/{alarm}/acknowledge", monitoring.acknowledge_form, methods=["POST"]),
    Route("/trace", trace.show),
    Route("/sign-in", sign_in.show),
    Route("/sign-in", sign_in.submit, methods=["POST"]),
]
