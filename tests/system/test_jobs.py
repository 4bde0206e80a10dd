"""Jobs as a user meets them: the server is killed in the middle, and afterwards each prompt is answered and the log verifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import Service, wait_for

pytestmark = [pytest.mark.system, pytest.mark.faults, pytest.mark.xdist_group("system")]

PROMPTS = 40


def test_a_killed_job_goes_on_with_what_is_not_answered_and_the_log_verifies(tmp_path: Path) -> None:
    service = Service(home=tmp_path / "home").start()
    body: dict[str, Any] = {
        "app": "gridrepublic:text-inference",
        "commandLine": str({"input": [f"prompt {n}" for n in range(PROMPTS)]}),
        "tag": service.model,
    }
    try:
        reply = httpx.post(f"{service.base_url}/remotejobs/v2/jobs", headers=service.headers, json=body, timeout=30)
        (work_id,) = reply.json()["ids"]

        def shown() -> dict[str, Any]:
            return dict(service.get(f"/remotejobs/v2/jobs/{work_id}").json()["jobs"][work_id])

        wait_for(lambda: shown()["states"]["default"]["log"], 30, "the first answers")
        service.kill()
        service.start()
        found = wait_for(lambda: (job := shown())["vmStatus"] == "finished" and job, 60, "the job to be finished")
        answers = found["states"]["default"]["log"].split("\n")
        assert len(answers) == PROMPTS
        assert all(answers)
        service.wait_anchored()
        verdict = service.verify()
        assert verdict.returncode == 0, verdict.stdout + verdict.stderr
        pages, cursor = [], ""
        while cursor is not None:
            page = service.get(f"/v1/records?limit=100{cursor and f'&cursor={cursor}'}").json()
            pages += page["data"]
            cursor = page["next_cursor"]
        outcomes = [record["outcome"] for record in pages]
        assert outcomes.count("completed") == PROMPTS + 1  # each prompt once, and the end of the job
        assert outcomes.count("accepted") == 1
    finally:
        service.stop()
