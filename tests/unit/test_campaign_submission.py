"""From a campaign file to a transformation: clear errors, and a job body that carries all a worker needs."""

import json
from pathlib import Path

import pytest
from DIRAC.Core.Workflow.Workflow import fromXMLString

from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.TransformationSystem.Client.CampaignJob import job_body
from CTARucioDIRAC.TransformationSystem.Client.CampaignSubmission import read_campaign

WORKFLOW = Path(__file__).resolve().parents[2] / "Workflow"
EXAMPLES = sorted(WORKFLOW.glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_the_shipped_campaign_files_are_valid(path):
    file = read_campaign(path)
    assert file.campaign.steps[0].name in file.configurations


def test_there_are_examples():
    assert {path.name for path in EXAMPLES} >= {"night-to-dl2.yaml", "simtel-to-dl2.yaml"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("campaign: [", "no valid YAML"),
        ("", "no valid campaign file"),
        ("campaign: x\nsurprise: 1\n", "surprise"),
        ("- 1\n", "no valid campaign file"),
        ("campaign: x\ncampaign: y\n", "no valid YAML"),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path, text, said):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=said) as error:
        read_campaign(path)
    assert str(path) in str(error.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml cannot be read"):
        read_campaign(tmp_path / "nowhere.yaml")
    path = tmp_path / "campaign.yaml"
    path.write_text((WORKFLOW / "night-to-dl2.yaml").read_text())  # its config/ is not beside it here
    with pytest.raises(InvalidInput, match="dl0-to-dl2.yaml cannot be read"):
        read_campaign(path)


def test_the_job_carries_its_configuration():
    file = read_campaign(WORKFLOW / "night-to-dl2.yaml")
    step = file.campaign.steps[0]
    workflow = fromXMLString(job_body(file.campaign, step, file.configurations[step.name]))
    instance = workflow.step_instances[0]
    values = {name: instance.findParameter(name).getValue() for name in ("campaign", "campaignStep", "configuration")}
    assert values["campaign"] == "/ctao/campaigns/night-2025-02-04"
    assert values["campaignStep"] == "process"
    assert json.loads(values["configuration"]) == json.loads(json.dumps(file.configurations[step.name]))
    assert workflow.findParameter("JobType").getValue() == "DataReprocessing"
    assert "StepFetchesInput" in workflow.findParameter("InputDataModule").getValue()
