"use strict";
/* before anything is drawn: a page that was made dark does not begin light */

if (remembered("theme")) document.documentElement.dataset.theme = remembered("theme");
