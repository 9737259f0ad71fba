"""What the views of both models share: the token, JSON bodies, answers."""

import json
from collections.abc import Callable
from functools import wraps
from hmac import compare_digest

from django.conf import settings
from django.http import HttpRequest, JsonResponse

USER_ID = 1  # the one user that the lab's token stands for


class BadRequest(Exception):
    """The body of a request can't be used; the text says why."""


def answer(
    code: int, /, slug: str | None = None, body: dict[str, object] | None = None, **more: object
) -> JsonResponse:
    """Build a JSON answer of `body` and further keys; the slug goes into the request's log line."""
    response = JsonResponse({**(body or {}), **more}, status=code)
    response.slug = slug
    return response


def with_token(view: Callable[..., JsonResponse]) -> Callable[..., JsonResponse]:
    """Let a view run only for `Authorization: Token <the token>`, and turn BadRequest into a 400."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> JsonResponse:
        given = request.headers.get("Authorization", "")
        if not settings.API_TOKEN or not compare_digest(given.encode(), f"Token {settings.API_TOKEN}".encode()):
            return answer(401, error="a valid token is needed")
        try:
            return view(request, *args, **kwargs)
        except BadRequest as error:
            return answer(400, error=str(error))

    return guarded


def team_name(request: HttpRequest) -> str:
    """Return the name that a request's JSON body gives. Raise BadRequest when there is none."""
    try:
        name = json.loads(request.body)["name"]
    except (ValueError, KeyError, TypeError):
        raise BadRequest("the body must be JSON with a name") from None
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise BadRequest("the name must be text of 1 to 200 characters")
    return name.strip()
