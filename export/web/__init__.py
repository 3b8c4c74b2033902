"""The web page of ``--web``: writes a static site that runs an exported model in the browser."""
