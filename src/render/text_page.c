/* SPDX-License-Identifier: Apache-2.0 */
#include "render/text_page.h"

#include <string.h>

#include "base/text.h"
#include "render/heading.h"

const char *page_colour(const struct text_page *page, const char *sequence)
{
	return page->options->colour ? sequence : "";
}

void page_heading(const struct text_page *page, const char *text)
{
	fprintf(page->out, "\n%s%s%s\n", page_colour(page, "\033[1m"), text, page_colour(page, "\033[0m"));
}

void page_bar(const struct text_page *page, guint64 weight)
{
	static const char *const eighths[] = { "",
					       "\342\226\217",
					       "\342\226\216",
					       "\342\226\215",
					       "\342\226\214",
					       "\342\226\213",
					       "\342\226\212",
					       "\342\226\211" };
	guint units = page->total ? (guint)((double)weight / (double)page->total * TEXT_PAGE_BAR * 8 + 0.5) : 0;
	guint used = units / 8 + (units % 8 ? 1 : 0);

	fputs(page_colour(page, "\033[34m"), page->out);
	for (guint i = 0; i < units / 8; i++)
		fputs("\342\226\210", page->out);
	fputs(eighths[units % 8], page->out);
	fputs(page_colour(page, "\033[0m"), page->out);
	fprintf(page->out, "%*s", (int)(TEXT_PAGE_BAR - MIN(used, TEXT_PAGE_BAR)), "");
}

void page_right(const struct text_page *page, const char *text, guint width)
{
	guint columns = text_columns(text);

	fprintf(page->out, "%*s%s", (int)(columns < width ? width - columns : 0), "", text);
}

void page_left(const struct text_page *page, const char *text, guint width)
{
	guint columns = text_columns(text);

	fprintf(page->out, "%s%*s", text, (int)(columns < width ? width - columns : 0), "");
}

void page_percent(const struct text_page *page, guint64 weight, guint width)
{
	g_autofree char *text = units_percent((double)weight, (double)page->total);

	page_right(page, text, width);
}

void page_wrapped(const struct text_page *page, const char *format, ...)
{
	g_autoptr(GString) text = g_string_new(NULL);
	va_list arguments;

	va_start(arguments, format);
	g_string_vprintf(text, format, arguments);
	va_end(arguments);
	text_wrap(text, 0, page->options->columns);
	fputs(text->str, page->out);
}

void page_ledger(const struct text_page *page)
{
	g_autoptr(GPtrArray) phrases = heading_ledger(page->shape);
	const GPtrArray *notes = page->shape->ledger.notes;
	g_autofree char *warning = heading_warning(page->shape);

	page_heading(page, "What this rests on");
	for (guint i = 0; i < phrases->len; i++) {
		g_autofree char *safe = text_terminal(g_ptr_array_index(phrases, i));

		page_wrapped(page, "  %s\n", safe);
	}
	for (guint i = 0; notes && i < notes->len; i++) {
		g_autofree char *safe = text_terminal(g_ptr_array_index(notes, i));

		page_wrapped(page, "  note: %s\n", safe);
	}
	if (warning)
		fprintf(page->out, "\n%s%s%s\n", page_colour(page, "\033[1;31m"), warning,
			page_colour(page, "\033[0m"));
}
