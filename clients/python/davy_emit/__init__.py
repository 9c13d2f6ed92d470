"""Request events for Davy, from ASGI and WSGI services, without slowing or failing a request."""

from davy_emit.asgi import AsgiMiddleware
from davy_emit.emitter import Emitter
from davy_emit.request import expose, note
from davy_emit.wsgi import WsgiMiddleware

__all__ = ["AsgiMiddleware", "Emitter", "WsgiMiddleware", "expose", "note"]
