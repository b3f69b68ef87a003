"""Doors: the ways into the engine that other tools' clients know. Each turns its protocol into rows and back.

``inference.py`` speaks the Open Inference Protocol v2 (KServe, Triton), ``mlflow.py`` MLflow's scoring protocol. Both
call ``Engine.answer``, so that each answer is validated and kept alike.
"""
