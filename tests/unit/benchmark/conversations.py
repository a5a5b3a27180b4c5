"""A small data set in LoCoMo's form, made by hand, with the traps of the real one."""

from __future__ import annotations

import json
from typing import Any


def turn(speaker: str, name: str, text: str | None, **more: object) -> dict[str, object]:
    """A turn."""
    return {"speaker": speaker, "dia_id": name, "text": text, **more}


def asked(question: object, evidence: object, category: object = 4) -> dict[str, object]:
    """A question."""
    return {"question": question, "answer": 7, "evidence": evidence, "category": category}


def sample(name: str = "made-up", **more: Any) -> dict[str, Any]:
    """A conversation of two sessions, and questions about it."""
    return {
        "sample_id": name,
        "conversation": {
            "speaker_a": "Ada",
            "speaker_b": "Bob",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                turn("Ada", "D1:1", "I adopted a dog called Ludwig from the shelter."),
                turn("Bob", "D1:2", "My sister plays the cello in Lisbon."),
                turn("Ada", "D1:3", "Look!", blip_caption="a photo of a red bicycle"),
            ],
            "session_2_date_time": "9:00 am on 1 June, 2023",
            "session_2": [
                turn("Bob", "D2:1", "The pottery class begins on Monday."),
                turn("Ada", "D2:2", "I burned the lasagna yesterday."),
            ],
        },
        "qa": [
            asked("What is Ada's dog called?", ["D1:1"]),
            asked("Which instrument does Bob's sister play?", ["D1:2"], 1),
            asked("When does the pottery class begin?", ["D2:1; D2:02"], 2),
            asked("What colour is the bicycle?", ["D:1:3"], 5),
            asked("What was burned?", ["D2:2", "D9:9", "D"], "4"),
            asked("What can't be known?", []),
        ],
        **more,
    }


def raw(*samples: object) -> bytes:
    """The file that holds these samples."""
    return json.dumps(list(samples)).encode()
