"""How each plot of `modelmgmt.view.plots` is drawn."""
