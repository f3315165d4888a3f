using System.Data.Common;
using Millrace;
using Millrace.Streams;
using Shop;
using Shop.Driver;

var errors = new List<string>();
var options = ShopOptions.Parse(args, errors);
if (options.WantsHelp)
{
    Console.WriteLine(ShopOptions.Usage);
    return ExitCodes.Success;
}

try
{
    return errors switch
    {
        { Count: > 0 } => Refuse(errors),
        _ when options.Orders is not null => await OrderRun.RunAsync(options),
        _ when options.Role is { } role and not Role.Orders => await OpenShop.ServeAsync(options, role),
        _ => await OpenShop.RunAsync(options),
    };
}
catch (MillraceConfigurationException wrong)
{
    return Refuse(wrong.Errors);
}
catch (Exception failure) when (failure is StreamException or DbException or IOException or UnauthorizedAccessException or HttpRequestException)
{
    Console.Error.WriteLine(failure.Message);
    return ExitCodes.Failure;
}

static int Refuse(IEnumerable<string> errors)
{
    foreach (var error in errors)
        Console.Error.WriteLine(error);
    return ExitCodes.WrongOptions;
}
