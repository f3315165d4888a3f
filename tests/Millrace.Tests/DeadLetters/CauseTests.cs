using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Millrace.Tests.DeadLetters;

public sealed class CauseTests
{
    [Fact]
    public void Fingerprint_is_the_same_for_the_same_place_and_other_texts()
    {
        var first = Cause.Fingerprint("attempts exhausted", Thrown("order 17"));
        var second = Cause.Fingerprint("attempts exhausted", Thrown("order 18"));

        Assert.Matches("^[0-9a-f]{16}$", first);
        Assert.Equal(first, second);
    }

    [Fact]
    public void Fingerprint_differs_by_reason_type_inner_type_and_place()
    {
        string[] prints =
        [
            Cause.Fingerprint("a", null),
            Cause.Fingerprint("b", null),
            Cause.Fingerprint("a", new InvalidOperationException()),
            Cause.Fingerprint("a", new FormatException()),
            Cause.Fingerprint("a", new FormatException("", new TimeoutException())),
            Cause.Fingerprint("a", Thrown("x")),
            Cause.Fingerprint("a", ThrownElsewhere("x")),
        ];

        Assert.Equal(prints.Length, prints.Distinct().Count());
    }

    [Fact]
    public void Fingerprint_takes_numbers_in_a_reason_as_one() =>
        Assert.Equal(Cause.Fingerprint("order 9 has no lines", null), Cause.Fingerprint("order 1234 has no lines", null));

    [Theory]
    [InlineData("order {0} has no lines", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "AFFEDEAD-BEEF-CAFE-FADE-ABCDEFABCDEF")]
    [InlineData("order {0} has no lines", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01BX5ZZKBKACTAV9WEVGEMMVRZ")]
    [InlineData("order {0} has no lines", "d41d8cd98f00b204e9800998ecf8427e", "a1b2")]
    [InlineData("order-{0}, of_{0}: no lines", "7f3", "f37c")]
    [InlineData("{0}", "17", "x18")]
    public void Fingerprint_takes_ids_in_a_reason_as_one(string reason, string one, string other)
    {
        Assert.Equal(
            Cause.Fingerprint(string.Format(CultureInfo.InvariantCulture, reason, one), null),
            Cause.Fingerprint(string.Format(CultureInfo.InvariantCulture, reason, other), null));
    }

    [Fact]
    public void Fingerprint_differs_by_the_words_of_a_reason() =>
        Assert.NotEqual(Cause.Fingerprint("order-1f has no lines", null), Cause.Fingerprint("parcel-1f has no lines", null));

    [Fact]
    public void Fingerprint_differs_by_types_whose_names_have_digits() =>
        Assert.NotEqual(Cause.Fingerprint("a", new Utf8Exception()), Cause.Fingerprint("a", new Latin1Exception()));

    [Fact]
    public void Exceptions_are_written_outermost_first_and_those_of_an_aggregate_too()
    {
        var exception = new InvalidOperationException("out", new AggregateException(new FormatException("f"), new TimeoutException("t")));

        using var written = JsonDocument.Parse(Cause.WriteExceptions(exception).ToArray());

        Assert.Equal(
            ["InvalidOperationException", "AggregateException", "FormatException", "TimeoutException"],
            written.RootElement.EnumerateArray().Select(item => item.GetProperty("type").GetString()![7..]));
    }

    [Fact]
    public void Exceptions_are_bounded_whatever_they_say()
    {
        Exception exception = new LoudException('x');
        for (var i = 0; i < 100; i++)
            exception = new LoudException(i % 2 == 0 ? '\u0001' : '語', exception);
        exception = new InvalidOperationException($"{new string('x', 1_023)}\U0001F600", exception);

        var written = Cause.WriteExceptions(exception);

        Assert.InRange(written.Length, 8 * 1024, 12 * 1024);
        using var document = JsonDocument.Parse(Encoding.UTF8.GetString(written));
        Assert.Equal([1_023, 341, 170, 341, 170], document.RootElement.EnumerateArray().Select(item => item.GetProperty("message").GetString()!.Length));
    }

    private static InvalidOperationException Thrown(string message)
    {
        try
        {
            throw new InvalidOperationException(message);
        }
        catch (InvalidOperationException exception)
        {
            return exception;
        }
    }

    private sealed class Utf8Exception : Exception;

    private sealed class Latin1Exception : Exception;

    private static InvalidOperationException ThrownElsewhere(string message)
    {
        try
        {
            throw new InvalidOperationException(message);
        }
        catch (InvalidOperationException exception)
        {
            return exception;
        }
    }
}
