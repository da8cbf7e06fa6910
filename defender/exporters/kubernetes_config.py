"""Kubernetes: a ConfigMap to mount beside an application."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import IDENTITY, QUESTION, encoded, file_stem, payload, placed
from defender.exporters.slot import cannot_carry, said
from defender.exporters.stamp import commented
from defender.exporters.yaml_text import to_yaml
from defender.records import Candidate, Export

LIMIT = 1_048_576
"""Bytes a ConfigMap may hold (https://kubernetes.io/docs/concepts/configuration/configmap/)."""

APPLIES = 262_144
"""Bytes of all annotations. ``kubectl apply`` keeps the whole ConfigMap in one; ``kubectl create`` does not."""

_LONGEST_NAME = 63


class KubernetesExporter:
    """Writes ``<name>.configmap.yaml``. Its keys are the files a pod sees.

    ``system_prompt.txt`` shows the identity sentence's place as ``{identity}`` and
    ``system_prompt.without-identity.txt`` is the text for a user nothing is known about; with the sentence in the
    user turn there is ``user_prompt.txt`` instead. ``manifest.json`` is the document of the JSON format: exact parts
    and provenance.
    """

    format = "kubernetes"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file. Raises StoreError, ConfigError (also for more than a ConfigMap holds)."""
        bare, _ = said(candidate)
        document = payload(candidate, provenance)
        data = {
            "system_prompt.txt": candidate.template,
            **(
                {"user_prompt.txt": candidate.user(IDENTITY, QUESTION)}
                if candidate.seat == "user"
                else {"system_prompt.without-identity.txt": bare}
            ),
            "manifest.json": json.dumps(document, ensure_ascii=False, indent=2),
        }
        size = sum(len(encoded(key)) + len(encoded(text)) for key, text in data.items())
        if size > LIMIT:
            raise cannot_carry("kubernetes", candidate.template, f"and what goes with it are {size} bytes of {LIMIT}")
        name = _resource_name(candidate)
        resource = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "labels": {"app.kubernetes.io/managed-by": "defender"},
                "annotations": {"defender/sha256": str(document["sha256"]), "defender/candidate": candidate.id},
            },
            "data": data,
        }
        file = f"{file_stem(candidate)}.configmap.yaml"
        applies = _annotated(resource) <= APPLIES
        longer = "Too long for 'kubectl apply', which keeps a copy in an annotation; 'kubectl replace' changes it."
        header = commented([
            f"kubectl {'apply' if applies else 'create'} -f {file}    then mount it: "
            f"volumes: [{{name: prompt, configMap: {{name: {name}}}}}]",
            *([] if applies else [longer]),
            "Replace {identity} in system_prompt.txt with the sentence that says who asks; manifest.json has the rest.",
        ])  # fmt: skip
        return [placed(into / file, header + to_yaml(resource), candidate.template, self.format)]


def _annotated(resource: Mapping[str, object]) -> int:
    """Return at most how many bytes of annotations ``kubectl apply`` makes of a resource."""
    text = json.dumps(resource, ensure_ascii=False, separators=(",", ":"))
    wider = sum(text.count(sign) for sign in "<>&\\\u2028\u2029")  # \u003c and the like, in Go's JSON
    return len(encoded(text)) + 5 * wider + 1024


def _resource_name(candidate: Candidate) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", candidate.label.lower()).strip("-")
    stem = f"prompt-{slug}-" if slug else "prompt-"
    return f"{stem[: _LONGEST_NAME - len(candidate.id)]}{candidate.id}"
